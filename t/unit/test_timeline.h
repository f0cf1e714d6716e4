/*
 * A world for the rule of timelines: rooms whose items a primary keeps, a ring
 * that brings them (or not) to one worker, clients that come and go with their
 * positions, and a checker that knows everything. To be linked with
 * test_timeline.c, test_timeline_reads.c and test_timeline_clients.c.
 *
 * One world at a time, the global one; the same seed makes the same one.
 */

#ifndef TEST_TIMELINE_H
#define TEST_TIMELINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_timeline.h"


#define ROOMS    100
#define CLIENTS  8
#define EPOCHS   6
#define ITEMS    80
#define BLOCK    8              /* items of a block, at most */
#define PAGE     100


/* ---- what was ever numbered ---- */

typedef struct {
    uint64_t         seq;
    uint64_t         follows;
    uint32_t         size;
    unsigned         appended:1;    /* to the node's stream, once */
} item_t;

typedef struct {
    goim_epoch_t    *word;
    uint32_t         n;
    unsigned         went_back:1;
    item_t           items[ITEMS];
} epoch_t;

typedef struct {
    uint8_t          epoch;
    uint8_t          item;
} what_t;

typedef struct {
    uint32_t         first;
    uint32_t         n;
    what_t           what[64];
} what_queue_t;

/* a run, and what it is of */
typedef struct {
    goim_run_t       run;
    uint32_t         room;
    uint32_t         epoch;
    uint32_t         from;
    goim_run_item_t  items[];
} test_run_t;

typedef struct {
    test_run_t      *run;
    uint32_t         slot;          /* it went to the clients before */
} block_t;

typedef struct {
    /* the primary */
    epoch_t          epochs[EPOCHS];
    uint32_t         nepochs;       /* the last one counts */
    uint32_t         kept;          /* index of the oldest kept, */
    uint32_t         head;          /* and behind the newest */
    uint32_t         step;          /* numbers grow by 1 to so much */
    unsigned         none:1;        /* has no history (any more, yet) */

    /* on the way */
    what_queue_t     stored;        /* not appended to the node's stream yet */
    what_queue_t     ring;
    block_t          blocks[16];
    uint32_t         nblocks;

    /* the worker */
    goim_timeline_t *timeline;
    unsigned         registered:1;  /* job appends for it */
} room_t;


/* ---- Reads and heads under way ---- */

typedef struct {
    uint32_t         room;
    unsigned         taken:1;       /* was at the primary */
    unsigned         none:1;
    uint32_t         epoch;
    uint64_t         first;
    uint64_t         head;
    uint32_t         from, to;      /* the page: items */
} snapshot_t;

typedef struct {
    goim_read_t     *read;          /* NULL: no such one */
    snapshot_t       snap;
} reading_t;


/* ---- clients ---- */

typedef struct {
    goim_epoch_t    *epoch;         /* NULL: none */
    uint64_t         seq;
    unsigned         wrong:1;       /* the client made it up */
} place_t;

/* in its socket's queue */
typedef struct {
    place_t          place;
    uint32_t         size;
} sent_t;

typedef struct {
    goim_follow_t    follow;
    int              room;          /* -1: in none */
    uint64_t         joined;        /* the worker's tick then, */
    uint32_t         joined_at;     /* and the time */
    uint32_t         newest;
    unsigned         told:1;
    unsigned         asked:1;       /* came with a position */
    place_t          at;            /* as of what it was sent */
    place_t          places[ROOMS]; /* as of what it has received */
    uint32_t         nsent;
    uint32_t         sent_first;
    uint32_t         queued;
    sent_t           sent[2048];
} client_t;


/* ---- the world ---- */

typedef struct {
    uint64_t          random;
    uint64_t          seed;
    uint64_t          number;       /* of this world */
    int               trace;

    goim_timelines_t  w;
    uint32_t          due;          /* when the worker wants to be run */
    unsigned          woken:1;
    unsigned          calm:1;       /* no more faults */

    /* how it is, in percent */
    uint32_t          lose, repeat, stale, fail, odd, back, anew, trim, close;
    uint32_t          max_size;     /* of an item */
    uint32_t          history;      /* items kept */

    uint32_t          nrooms;
    room_t            rooms[ROOMS];
    client_t          clients[CLIENTS];
    reading_t         readings[GOIM_READS_MAX];
    uint32_t          nreadings;
    const reading_t  *answering;
    uint64_t          answer_begun;
    uint32_t          heads;        /* 1: under way */
    uint32_t          runs;         /* alive */

    /* what happened */
    uint64_t          nsends, ntold[5], nnull, nreads, nheads, nblocked,
                      nkept_lost, nreads_full, ngone;
} world_t;

extern world_t  world;


#define trace(...)                                                           \
    do {                                                                     \
        if (world.trace) {                                                   \
            printf("# %10u ", world.w.now);                                  \
            printf(__VA_ARGS__);                                             \
            printf("\n");                                                    \
        }                                                                    \
    } while (0)

/* says which world it was, and fails */
#define expect(cond, ...)                                                    \
    do {                                                                     \
        if (!(cond)) {                                                       \
            printf("# GOIM_SEED=%llu GOIM_WORLD=%llu: ",                     \
                   (unsigned long long) world.seed,                          \
                   (unsigned long long) world.number);                       \
            printf(__VA_ARGS__);                                             \
            printf("\n");                                                    \
            fail_msg("%s", #cond);                                           \
        }                                                                    \
    } while (0)


uint32_t rnd(uint32_t n);           /* 0 .. n - 1 */
int chance(uint32_t percent);


/* ---- test_timeline.c ---- */

void world_begin(uint64_t seed, uint64_t number);
void world_end(void);

void world_post(uint32_t room);
void world_append(uint32_t room);
void world_arrive(uint32_t room);
void world_back(uint32_t room);
void world_anew(uint32_t room);
void world_trim(uint32_t room);
void world_history(uint32_t room, int on);

/* the node is known for the room, and the worker hears of it */
void world_register(uint32_t room);
void world_lapse(uint32_t room);

/* a Read, at random, gets to the primary; comes back */
void world_run(void);
void world_pass(uint32_t ms);

/* all is level in the end, and nothing is left over */
void world_settle(void);

uint64_t room_head(const room_t *room);
epoch_t *room_epoch(room_t *room);

test_run_t *test_run(uint32_t room, uint32_t epoch, uint32_t from,
    uint32_t n, uint32_t size);


/* ---- test_timeline_reads.c ---- */

/* a Read, any one, gets to the primary; it is answered */
void world_read_taken(void);
void world_read_answered(void);

void world_heads_answered(void);


/* ---- test_timeline_clients.c ---- */

int client_send(goim_follow_t *f, goim_run_t *run, uint32_t from, uint32_t to);
int client_tell(goim_follow_t *f, const goim_told_t *told);
size_t client_queued(goim_follow_t *f);

void client_join(client_t *c, uint32_t room);
void client_leave(client_t *c);         /* the room, or the connection */
void client_drain(client_t *c, uint32_t bytes);

/* the first block of the room goes to so many clients */
void client_fanout(room_t *room, uint32_t n);

/* it has all that there is */
int client_level(const client_t *c);

#endif
