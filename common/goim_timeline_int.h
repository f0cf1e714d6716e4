/*
 * What the files of the rule know of each other:
 *
 *     goim_timeline.c         a worker's timelines: Reads and their answers
 *     goim_timeline_follow.c  a session: what it gets, what it is told
 *     goim_timeline_heads.c   suspicion: heads against what came by
 *     goim_timeline_time.c    what shall be done later
 */

#ifndef GOIM_TIMELINE_INT_H
#define GOIM_TIMELINE_INT_H

#include "common/goim_timeline.h"

#define goim_time_left(w, at)  ((int32_t) ((at) - (w)->now))

/* An answer, for those who asked before it was begun. */
typedef struct {
    goim_epoch_t    *epoch;         /* NULL: no history */
    uint64_t         first;
    uint64_t         head;
    uint64_t         begun;
    goim_run_t      *page;          /* NULL: none */
} goim_answer_t;


/* ---- goim_timeline.c ---- */

void goim_timelines_wake(goim_timelines_t *w);

/* a Read, as soon as it may be */
void goim_timeline_want(goim_timeline_t *tl);

/* Reads of timelines that are ready, as many as there may be */
void goim_timelines_read(goim_timelines_t *w);

/* ---- goim_timeline_follow.c ---- */

/* it is behind: a Read that begins from now on counts for it */
void goim_follow_wait(goim_follow_t *f);

/* 1: it moved, 0: it did not */
int goim_follow_serve(goim_follow_t *f, const goim_answer_t *a);

/* ---- goim_timeline_heads.c ---- */

/* epoch NULL: no history. begun: when this was asked for, or came */
void goim_timeline_heard(goim_timeline_t *tl, goim_epoch_t *epoch,
    uint64_t head, uint64_t begun);

/* live sessions of another epoch, or with less than seq, are behind */
void goim_timeline_behind(goim_timeline_t *tl, goim_epoch_t *epoch,
    uint64_t seq);

void goim_timelines_heads(goim_timelines_t *w);
void goim_timelines_shorts(goim_timelines_t *w);

/* ---- goim_timeline_time.c ---- */

/* ms and up to `more` more, at random */
uint32_t goim_timelines_jitter(goim_timelines_t *w, uint32_t ms,
    uint32_t more);

/* l is moved to where goim_timelines_turn() finds it then */
void goim_timelines_at(goim_timelines_t *w, goim_link_t *wheel,
    goim_link_t *l, uint32_t at);

/* what has become due is wanted, or waits, again */
void goim_timelines_turn(goim_timelines_t *w);

/* ms until something in the wheel may be due */
uint32_t goim_timelines_left(goim_timelines_t *w);

#endif
