/*
 * Rooms of one worker, and what is on its way to their members.
 */

#ifndef _NGX_GOIM_ROOM_H_INCLUDED_
#define _NGX_GOIM_ROOM_H_INCLUDED_


#include "ngx_goim_core.h"
#include "common/goim_timeline.h"


/* Bytes that go to all members of a room. */
typedef struct {
    ngx_queue_t             queue;      /* in the room */
    ngx_goim_buf_t         *buf;
    uint32_t                frame;      /* framed fronts send from here, */
    uint32_t                inner;      /* bare ones from here, */
    uint32_t                last;       /* to here */
    uint32_t                records;
    size_t                  held;       /* its bytes, with those of `run` */

    ngx_goim_record_t       record;     /* the head of the last */

    /* of a room that somebody follows: its items are a run */
    goim_epoch_t           *epoch;
    uint64_t                seq;        /* of the first */
    goim_run_t             *run;        /* their copy with numbers */

    unsigned                filtered:1; /* by the session's accepts */
    unsigned                numbered:1; /* items of a history are in it */
} ngx_goim_block_t;


struct ngx_goim_room_s {
    ngx_goim_entry_t        entry;
    ngx_str_t               key;
    ngx_queue_t             members;
    ngx_uint_t              count;
    struct ngx_goim_timeline_s  *timeline;  /* NULL: nobody follows it */
    ngx_goim_contrib_t     *contrib;    /* NULL: the zone is full */
    ngx_uint_t              unplaced;   /* 1: the zone was told so */

    /* what was gathered in this turn, or while it lingers: one record as it
       is, or a copy of several behind a gap for the frame's header */
    ngx_goim_block_t       *gather;
    size_t                  gather_size;
    ngx_msec_t              gathered;   /* when the last was ready to leave */
    ngx_msec_t              due;        /* when this one is */

    ngx_queue_t             blocks;     /* in order; the first is on its way */
    ngx_goim_member_t       marker;     /* the first came this far */
    ngx_queue_t             active;
    unsigned                is_active:1;    /* or it lingers */
    unsigned                lingers:1;
    unsigned                marked:1;
};


extern ngx_goim_room_t  ngx_goim_room_all;


/* ---- ngx_goim_fanout.c ---- */

/* to at most *max sessions from q on; returns who is next */
ngx_queue_t *ngx_goim_fanout_send(ngx_goim_block_t *block, ngx_queue_t *q,
    ngx_queue_t *end, ngx_uint_t *max);

void ngx_goim_block_free(ngx_goim_block_t *block);


/* ---- ngx_goim_pace.c: broadcasts that take their time ---- */

void ngx_goim_pace_init(ngx_log_t *log);

/* it has a pace, or must not overtake one that has */
ngx_uint_t ngx_goim_pace_wanted(ngx_goim_block_t *block);

/* takes the block over; NGX_ERROR: no memory */
ngx_int_t ngx_goim_pace_start(ngx_goim_block_t *block);

/* bytes that wait as they should, within a bound */
size_t ngx_goim_pace_held(void);


#endif /* _NGX_GOIM_ROOM_H_INCLUDED_ */
