/*
 * Rooms of one worker, and what is on its way to their members.
 */

#ifndef _NGX_GOIM_ROOM_H_INCLUDED_
#define _NGX_GOIM_ROOM_H_INCLUDED_


#include "ngx_goim_core.h"


/* Bytes that go to all members of a room. */
typedef struct {
    ngx_queue_t             queue;      /* in the room, or among the paced */
    ngx_goim_buf_t         *buf;
    uint32_t                frame;      /* framed fronts send from here, */
    uint32_t                inner;      /* bare ones from here, */
    uint32_t                last;       /* to here */
    uint32_t                records;

    ngx_goim_record_t       record;     /* the head of the last */

    unsigned                filtered:1; /* by the session's accepts */

    ngx_goim_member_t       marker;     /* paced: its own place */
    uint64_t                speed;      /* thousandths of a session a second */
    uint64_t                credit;     /* millionths of a session */
    ngx_msec_t              since;      /* until when credit is counted */
} ngx_goim_block_t;


struct ngx_goim_room_s {
    ngx_goim_entry_t        entry;
    ngx_str_t               key;
    ngx_queue_t             members;
    ngx_uint_t              count;
    ngx_goim_share_t       *share;      /* NULL: the zone is full */

    /* what was gathered in this turn: one record as it is, or a copy of
       several behind a gap for the frame's header */
    ngx_goim_block_t       *gather;
    size_t                  gather_size;

    ngx_queue_t             blocks;     /* in order; the first is on its way */
    ngx_goim_member_t       marker;     /* the first came this far */
    ngx_queue_t             active;
    unsigned                is_active:1;
    unsigned                marked:1;
};


extern ngx_goim_room_t  ngx_goim_room_all;


#endif /* _NGX_GOIM_ROOM_H_INCLUDED_ */
