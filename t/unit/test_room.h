/*
 * Rooms for the rule of timelines, simple ones: a room is a number of items
 * 1 .. head in one epoch, all of a size, and a Read takes as long as the test
 * likes. To be linked with test_room.c.
 */

#ifndef TEST_ROOM_H
#define TEST_ROOM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_timeline.h"


#define ROOMS  100


typedef struct {
    goim_follow_t     follow;
    uint64_t          at;           /* the last that it was sent, or told */
    uint32_t          told;         /* how often, */
    uint32_t          recovered;    /* and what at last */
    uint32_t          sent;
    size_t            queued;
} session_t;

typedef struct {
    goim_timeline_t   timeline;
    goim_epoch_t     *epoch;
    uint64_t          first;
    uint64_t          head;
    uint32_t          size;         /* of an item */
} room_t;


extern goim_timelines_t  w;
extern room_t            rooms[ROOMS];
extern goim_read_t      *reads[GOIM_READS_MAX];
extern uint32_t          nreads;    /* under way */
extern uint32_t          asked;     /* Reads ever, */
extern uint32_t          at_head;   /* those that found the head, */
extern uint32_t          asked_heads;
extern int               refuse;
extern int               no_memory;
extern uint32_t          freed;

#define ROOM_CASE(test)                                                      \
    cmocka_unit_test_setup_teardown(test, room_setup, room_teardown)


int room_setup(void **state);
int room_teardown(void **state);

/* items of the room; one reference */
goim_run_t *run_new(room_t *room, uint64_t first, uint64_t last);

/* item seq comes by, and goes to these sessions */
void arrives(room_t *room, uint64_t seq, session_t *s, uint32_t n);

/* the oldest Read is answered by how the room is now, or was then */
void answer(room_t *room);
void answer_at(room_t *room, uint64_t first, uint64_t head);

/* heads are: rooms[0] stands there, the others have no history */
void answer_heads(goim_epoch_t *epoch, uint64_t head);

/* time goes on, the worker is run each ms */
void pass(uint32_t ms);

/* it comes with a position in the room's epoch; it is let in, and is level */
void join(session_t *s, room_t *room, uint64_t seq);
void join_live(session_t *s, room_t *room);

#endif
