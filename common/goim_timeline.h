/*
 * Who follows a timeline gets each item once, in order, and all of them, or is
 * told. This is that rule for the sessions of one worker: items, answers and
 * time come in, sends and reads go out. No nginx, no sockets, no clock.
 * docs/internals-timelines.md tells it in words.
 *
 *     worker (goim_timelines_t)
 *       timeline (goim_timeline_t), one a room that somebody follows
 *         session's place in it (goim_follow_t)
 *
 * All of them are the caller's memory. The caller sets `now` before it calls.
 *
 * Callbacks run inside goim_timelines_run(), goim_read_answer(),
 * goim_follow_run(), goim_timeline_give() and, wake() alone, anywhere. From send() and tell() a
 * session may leave, and its timeline be closed; nothing else may be called.
 */

#ifndef GOIM_TIMELINE_H
#define GOIM_TIMELINE_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_epoch.h"
#include "common/goim_link.h"

/* bounds */
#define GOIM_READS_MAX      64              /* Reads under way, a worker */
#define GOIM_READS_MORE     8               /* of them, of timelines of which a
                                               page has been read, and more is
                                               to come */
#define GOIM_HEADS_MAX      256             /* timelines, a call for heads */
#define GOIM_KEPT_MAX       (1024 * 1024)   /* bytes of live items kept while a
                                               Read is under way, a timeline */
#define GOIM_FOLLOW_QUEUE   (64 * 1024)     /* bytes that a timeline fills of a
                                               session's queue */
#define GOIM_PAGE_ITEMS     100             /* of a Read */

/* times, ms */
#define GOIM_READ_PACE      50      /* those who come within this time share
                                       the Reads of a timeline */
#define GOIM_READ_AGAIN     100     /* *later*: after so long, then twice */
#define GOIM_READ_AGAIN_MAX 1600    /* ... up to so long; and half more, at
                                       random */
#define GOIM_BEYOND_MAX     10000   /* a head behind what is known already: so
                                       long it may be on its way back */
#define GOIM_LATE_UNIT      64      /* in which that is measured */
#define GOIM_HEADS_EVERY    40000   /* a quarter more or less */
#define GOIM_HEADS_AGAIN    1000    /* from one round to the next, at least */
#define GOIM_SHORT_MAX      2000    /* so long an item may be on its way */

#define GOIM_WHEEL_SLOTS    256
#define GOIM_WHEEL_STEP     16      /* ms a slot */

/* the session left in a callback: it may be gone */
#define GOIM_GONE           (-1)


typedef struct goim_run_s            goim_run_t;
typedef struct goim_read_s           goim_read_t;
typedef struct goim_heads_s          goim_heads_t;
typedef struct goim_follow_s         goim_follow_t;
typedef struct goim_timeline_s       goim_timeline_t;
typedef struct goim_timelines_s      goim_timelines_t;


/* ---- runs of items ---- */

typedef struct {
    uint64_t             seq;
    uint32_t             end;       /* bytes of the run up to its end */
} goim_run_item_t;

/*
 * Items of one epoch, each of which follows the one before it: a live item, a
 * block, a page of a Read. Made by the caller, who has the first reference;
 * ops->run_free() when the last one goes.
 */
struct goim_run_s {
    uint32_t             refs;
    uint32_t             n;         /* of items, at least 1 */
    goim_epoch_t        *epoch;     /* a reference, the caller's matter */
    uint64_t             follows;   /* the number that the first one follows:
                                       in rooms seq - 1, elsewhere any less */
    goim_run_item_t     *items;
    size_t               held;      /* bytes it keeps in memory */
    uint64_t             arrived;   /* set by goim_timeline_arrived(); of a
                                       block, that of its last item */
    goim_run_t          *next;      /* among those kept */
};


static inline uint64_t
goim_run_last(const goim_run_t *run)
{
    return run->items[run->n - 1].seq;
}


/* whether one block can hold both */

static inline int
goim_run_continues(const goim_run_t *a, const goim_run_t *b)
{
    return a->epoch == b->epoch && b->follows == goim_run_last(a);
}


void goim_run_unref(goim_timelines_t *w, goim_run_t *run);


/* ---- what goes out ---- */

/* Operation 23's entry. Without an epoch: null, there is no history. */
typedef struct {
    const goim_epoch_t  *epoch;
    uint64_t             seq;
    uint64_t             first;
    uint64_t             head;      /* what was missed ends there */
    enum {
        GOIM_RECOVERED_NONE = 0,    /* nothing was asked for */
        GOIM_RECOVERED_TRUE,        /* what was missed follows */
        GOIM_RECOVERED_EPOCH,       /* false: of another epoch, */
        GOIM_RECOVERED_TRIMMED,     /* ... no longer kept, */
        GOIM_RECOVERED_BEYOND       /* ... beyond the head, and it stays */
    }                    recovered;
} goim_told_t;


typedef struct {
    /*
     * Items [from, to) of a run, all of them or those that a session lacks;
     * f->last is what it has. 0, or GOIM_GONE.
     */
    int                (*send)(goim_follow_t *f, goim_run_t *run,
                               uint32_t from, uint32_t to);

    /* 0, or GOIM_GONE */
    int                (*tell)(goim_follow_t *f, const goim_told_t *told);

    /* bytes that wait in the session's queue */
    size_t             (*queued)(goim_follow_t *f);

    /*
     * Ask logic: goim_read_answer() comes once, later, whatever happens, and
     * when nobody answers within the caller's time. Nonzero: it can't be asked
     * now, no answer comes.
     */
    int                (*read)(goim_read_t *r);

    /* The same for heads: goim_heads_answer() for each, goim_heads_done(). */
    int                (*heads)(goim_heads_t *h);

    /* call goim_timelines_run() in this turn; once until it was */
    void               (*wake)(goim_timelines_t *w);

    /* nobody refers to it any more */
    void               (*run_free)(goim_run_t *run);
    void               (*timeline_free)(goim_timeline_t *tl);

    void              *(*alloc)(size_t size);
    void               (*free)(void *p);
} goim_timelines_ops_t;


/* ---- what is under way ---- */

struct goim_read_s {
    goim_timelines_t    *timelines;
    goim_timeline_t     *timeline;  /* NULL: closed meanwhile */
    goim_epoch_t        *epoch;     /* NULL: any, only where it stands */
    uint64_t             after;
    uint32_t             limit;     /* items; without an epoch: the newest so
                                       many, may be 0 */
    uint32_t             sent;      /* time */
    uint64_t             begun;
    int                  more;      /* its timeline was, when it began */
    void                *data;      /* the caller's */
};

struct goim_heads_s {
    goim_timelines_t    *timelines;
    uint32_t             n;         /* 0: none is under way */
    uint64_t             begun;
    goim_timeline_t     *of[GOIM_HEADS_MAX];    /* NULL: closed meanwhile, or
                                                   answered */
    void                *data;      /* the caller's */
};


/* ---- a session's place in one timeline ---- */

typedef enum {
    GOIM_FOLLOW_NONE = 0,           /* in no timeline */
    GOIM_FOLLOW_LIVE,               /* has all that came: sent as it comes */
    GOIM_FOLLOW_BEHIND,             /* waits for a Read */
    GOIM_FOLLOW_LATER,              /* ... which shall not be at once */
    GOIM_FOLLOW_FULL,               /* behind, waits for its own queue */
    GOIM_FOLLOW_PLAIN               /* this timeline has no history */
} goim_follow_state_e;

struct goim_follow_s {
    goim_link_t          link;      /* in the timeline, or the wheel */
    goim_timeline_t     *timeline;
    goim_epoch_t        *epoch;     /* NULL: it has no position */

    /* one a session: 48 bytes */
    uint64_t             last:53;   /* it has this one and all before */
    uint64_t             state:4;   /* goim_follow_state_e */
    uint64_t             joining:1; /* was told nothing yet */
    uint64_t             late:1;    /* the head was behind it */
    uint64_t             mark:48;   /* when it began to be behind; live: when
                                       the Read that made it so began */
    uint64_t             aside:16;  /* joining without a position: the newest so
                                       many; late: since when, goim_late() */
};


/* ---- one timeline ---- */

struct goim_timeline_s {
    goim_timelines_t    *timelines;
    goim_link_t          followers; /* but those who are behind: */
    goim_link_t          waiting;
    goim_link_t          link;      /* ready to read, or in the wheel */
    goim_link_t          heads;     /* among all, or to be asked for */
    goim_read_t         *read;      /* under way */

    /* where it stands, as far as it is known here */
    goim_epoch_t        *epoch;
    uint64_t             head;      /* the newest heard of */
    uint64_t             head_at;   /* when */
    uint64_t             epoch_at;  /* the newest word of its epoch */
    uint64_t             taken;     /* came by: no live session lacks it without
                                       finding out */
    uint64_t             began;     /* its epoch was heard of behind this */

    /* live items since `read` began */
    goim_run_t          *kept;
    goim_run_t         **kept_end;
    size_t               kept_bytes;

    /* the head that did not come by yet */
    goim_link_t          shorts;
    uint64_t             expected;
    uint32_t             expected_since;

    uint64_t             round;         /* who asked before is served first */
    uint32_t             round_sent;    /* time */
    uint32_t             not_before;    /* the next Read: time */
    uint32_t             again;         /* ms that the next *later* takes */
    uint32_t             back_since;
    uint32_t             busy;          /* callbacks may be under way */
    unsigned             known:1;       /* its items are sent to this node */
    unsigned             more:1;        /* its last page was not the end */
    unsigned             kept_lost:1;   /* over the bound */
    unsigned             back:1;        /* the head went back */
    unsigned             closed:1;
    unsigned             goes_on:1;     /* set by the caller: an epoch begins in
                                           the middle, with what there is */
};


/* ---- a worker ---- */

struct goim_timelines_s {
    const goim_timelines_ops_t  *ops;
    uint32_t             now;       /* ms, any clock that goes on; may wrap */
    uint64_t             tick;      /* orders what happens here */
    uint64_t             random;
    goim_epochs_t        epochs;

    goim_read_t          reads[GOIM_READS_MAX];
    uint64_t             reading;   /* which of them, a bit each */
    uint32_t             nmore;     /* of them, those of GOIM_READS_MORE */
    goim_link_t          ready;     /* timelines */
    goim_link_t          more;      /* those that are read on */

    goim_link_t          all;       /* timelines, */
    goim_link_t          asking;    /* and those whose head is asked for */
    goim_heads_t         heads;
    uint32_t             round_at;  /* time of the next round, */
    uint32_t             round_began;
    uint32_t             heads_at;  /* and of its next call */
    goim_link_t          shorts;    /* timelines, oldest first */

    uint32_t             slot;      /* the wheel came this far */
    goim_link_t          wheel[GOIM_WHEEL_SLOTS];           /* timelines */
    goim_link_t          wheel_later[GOIM_WHEEL_SLOTS];     /* follows */

    unsigned             turn:1;    /* of those that are read on */
    unsigned             woken:1;
};


void goim_timelines_init(goim_timelines_t *w, const goim_timelines_ops_t *ops,
    uint32_t now, const uint64_t seed[2]);

/* nobody follows anything any more, no answer is awaited */
void goim_timelines_free(goim_timelines_t *w);

/*
 * What is due: after wake(), and at the time that it answers, in ms from now.
 */
uint32_t goim_timelines_run(goim_timelines_t *w);

/*
 * Something may have got lost between job and here (a hole, a lap, a damaged
 * entry, a new life of Redis, a registration that lapsed): heads are asked for.
 */
void goim_timelines_suspect(goim_timelines_t *w);

/*
 * The first session is about to follow it. known: job appends its items to this
 * node already.
 */
void goim_timeline_open(goim_timelines_t *w, goim_timeline_t *tl, int known);

/* No session follows it. Memory is the caller's again in timeline_free(). */
void goim_timeline_close(goim_timeline_t *tl);

/* Nothing is read before; what was live when it was not known is suspect. */
void goim_timeline_known(goim_timeline_t *tl, int known);

/*
 * Taken from the ring, before it is given to any session. The caller then
 * gives it, or a block that holds it, to each session by goim_follow_run(), in
 * this order.
 */
void goim_timeline_arrived(goim_timeline_t *tl, goim_run_t *run);

/*
 * The same, and given to all who follow it. GOIM_GONE: the last of them has
 * left, the timeline is gone.
 */
int goim_timeline_give(goim_timeline_t *tl, goim_run_t *run);

/* a live session lacks what it follows: it would have to read */
int goim_timeline_ahead(const goim_timeline_t *tl, const goim_run_t *run);

/* Such were lost on the way to all who follow it. */
void goim_timeline_lost(goim_timeline_t *tl);

typedef enum {
    GOIM_READ_OK = 0,
    GOIM_READ_NONE,                 /* this timeline has no history */
    GOIM_READ_LATER                 /* not now, or no answer: ask again */
} goim_read_status_e;

/*
 * OK: where it stands, by one step in the primary, begun after read() was
 * called: epoch, what is kept (all behind first - 1; first is head + 1 when
 * nothing is), head. And if the epoch is the one asked for, or the newest were,
 * and some are kept, a page: it begins behind `after` or before, has at least
 * the next item, and at most as much as logic likes. What contradicts itself is
 * taken as LATER. *Cannot* is an answer without a page. epoch and page remain
 * the caller's.
 */
void goim_read_answer(goim_read_t *r, goim_read_status_e status,
    goim_epoch_t *epoch, uint64_t first, uint64_t head, goim_run_t *page);

typedef enum {
    GOIM_HEAD_OK = 0,
    GOIM_HEAD_GONE,                 /* has none: a Read makes one */
    GOIM_HEAD_NONE                  /* no history */
} goim_head_status_e;

/* of h->of[i] */
void goim_heads_answer(goim_heads_t *h, uint32_t i, goim_head_status_e status,
    goim_epoch_t *epoch, uint64_t head);

/* those that were not answered are asked for again */
void goim_heads_done(goim_heads_t *h);

/*
 * It follows tl from now on: it is in tl's list of members. epoch: with seq,
 * the position that it comes with; NULL: it has none, and the newest so many
 * shall be sent (0: none). Takes a reference of its own.
 */
void goim_follow_join(goim_follow_t *f, goim_timeline_t *tl,
    goim_epoch_t *epoch, uint64_t seq, uint32_t newest);

/* Follows nothing any more; idempotent. */
void goim_follow_leave(goim_follow_t *f);

/* Live items have reached it. 0, or GOIM_GONE. */
int goim_follow_run(goim_follow_t *f, goim_run_t *run);

/* Such were lost on the way to it. */
void goim_follow_lost(goim_follow_t *f);

/* Its queue holds at most GOIM_FOLLOW_QUEUE / 2 now. */
void goim_follow_drained(goim_follow_t *f);

#endif
