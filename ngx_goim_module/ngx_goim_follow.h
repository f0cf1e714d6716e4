/*
 * Sessions that recover: each follows the timeline of its room, and perhaps that
 * of its inbox, by the rule in
 * common/goim_timeline.h, which these files bind to the module.
 *
 *     ngx_goim_follow.c    sessions: what they say, get and are told
 *     ngx_goim_timeline.c  the worker: time, Reads and heads, suspicion
 *     ngx_goim_run.c       items with their numbers, as they are sent
 *     ngx_goim_inbox.c     inboxes, which sessions follow besides,
 *     ngx_goim_pushes.c    or, if they do not recover, what was stored for them
 *     ngx_goim_hold.c      items of both that come before what they follow
 */

#ifndef _NGX_GOIM_FOLLOW_H_INCLUDED_
#define _NGX_GOIM_FOLLOW_H_INCLUDED_


#include "ngx_goim_room.h"
#include "common/goim_recover.h"
#include "common/goim_timeline.h"


/* s->follow, s->inbox; the place first, as the rule knows that alone */
typedef struct ngx_goim_follower_s {
    goim_follow_t           place;
    ngx_goim_session_t     *session;
} ngx_goim_follower_t;


/* where a client says that it was in the room that it enters */
typedef struct ngx_goim_was_s {
    goim_epoch_t           *epoch;      /* a reference; NULL: it has no
                                           position, and wants */
    uint32_t                newest;     /* the newest so many */
    uint64_t                seq;
} ngx_goim_was_t;


/* of a room or an inbox that somebody follows; the rule's first */
typedef struct ngx_goim_timeline_s {
    goim_timeline_t         timeline;
    ngx_queue_t             queue;      /* all of the worker */
    ngx_goim_room_t        *room;       /* NULL: an inbox, or nobody follows
                                           it */
    int64_t                 mid;        /* an inbox: whose; -mid: what was
                                           pushed to it and stored */
    uint64_t                first;      /* the oldest kept, as it was read last */
    ngx_uint_t              followers;
    struct ngx_goim_hold_s *hold;       /* NULL: nothing is ahead; owned */
} ngx_goim_timeline_t;


/* ---- ngx_goim_follow.c ---- */

/* NGX_ERROR: what the auth packet says is wrong, the session is closing */
ngx_int_t ngx_goim_follow_auth(ngx_goim_session_t *s, const u_char *body,
    size_t len);

/* what that packet says of a timeline */
void ngx_goim_follow_said(const u_char *body, size_t len, const u_char *name,
    size_t name_len, ngx_goim_was_t *was);

/* operation 12 with a map: its room, valid until the next one, and what is
   said of it.  NGX_DECLINED: it is wrong, *reason (a literal) says why */
ngx_int_t ngx_goim_follow_map(ngx_goim_session_t *s, goim_packet_t *p,
    ngx_str_t *room, ngx_goim_was_t *was, const char **reason);

void ngx_goim_was_free(ngx_goim_was_t *was);

/* it is in that room, perhaps as before: it will be told where.  Takes what
   was over.  NGX_ERROR: no memory */
ngx_int_t ngx_goim_follow_enter(ngx_goim_session_t *s, ngx_goim_was_t *was);

/* an answer 8 or 13 went out to who is in no room: it is told so.  NGX_ERROR:
   the session is closing */
ngx_int_t ngx_goim_follow_nowhere(ngx_goim_session_t *s);

/* what is written to it waits as long as it has not been told where it begins */
void ngx_goim_follow_hold(ngx_goim_session_t *s);

void ngx_goim_follow_block(ngx_goim_session_t *s, ngx_goim_block_t *block);

/* callbacks of the rule */
int ngx_goim_follow_send(goim_follow_t *f, goim_run_t *run, uint32_t from,
    uint32_t to);
int ngx_goim_follow_tell(goim_follow_t *f, const goim_told_t *told);
size_t ngx_goim_follow_queued(goim_follow_t *f);


/* items [from, to) of a run: 0, or GOIM_GONE */
int ngx_goim_follow_part(goim_follow_t *f, goim_run_t *run, uint32_t from,
    uint32_t to);


/* ---- ngx_goim_timeline.c ---- */

extern goim_timelines_t  ngx_goim_timelines;

/* before any call of the rule */
#define ngx_goim_timelines_time()                                            \
    (ngx_goim_timelines.now = (uint32_t) ngx_current_msec)

/* one more follows the room; NULL: no memory */
ngx_goim_timeline_t *ngx_goim_timeline_join(ngx_goim_room_t *room);
void ngx_goim_timeline_leave(ngx_goim_timeline_t *tl);

/* tl is all zero but for whose it is */
void ngx_goim_timeline_open(ngx_goim_timeline_t *tl);

/* may the record be gathered with those before it? */
ngx_uint_t ngx_goim_timeline_continues(ngx_goim_room_t *room,
    ngx_goim_block_t *block, ngx_goim_record_t *rec);

/* its first record has this number */
void ngx_goim_timeline_begin(ngx_goim_room_t *room, ngx_goim_block_t *block,
    ngx_goim_record_t *rec);

/* it will grow no more: its numbered copy, for who follows */
void ngx_goim_timeline_end(ngx_goim_room_t *room, ngx_goim_block_t *block);

/* the block goes */
void ngx_goim_timeline_block_free(ngx_goim_block_t *block);


/* ---- ngx_goim_run.c ---- */

/* Bytes of a run, framed. */
typedef struct {
    ngx_goim_buf_t         *buf;
    uint32_t                frame;      /* for framed fronts, */
    uint32_t                bare;       /* for others: operation 9, */
    uint32_t                inner;      /* the packets in it */
} ngx_goim_part_t;

/* NULL: no memory */
goim_run_t *ngx_goim_run_block(ngx_goim_block_t *block);

/* n packets, of which the first is item seq; shown: clients get its number.
   NULL: no memory */
goim_run_t *ngx_goim_run_make(goim_epoch_t *epoch, uint64_t seq, uint32_t n,
    const u_char *data, size_t len, ngx_uint_t shown);

/* of item i */
int32_t ngx_goim_run_op(const goim_run_t *run, uint32_t i);

/*
 * The answer to a Read.  Some items may be none: *first then becomes the number
 * behind the last of them, and *run, which may be NULL, what follows it.
 * NGX_ERROR: no memory, or they don't follow each other.
 */
ngx_int_t ngx_goim_run_page(goim_epoch_t *epoch, const Goim__Page *page,
    const goim_read_t *read, goim_run_t **run, uint64_t *first);

void ngx_goim_run_free(goim_run_t *run);

/* items [from, to): the run's own, or a copy that the run keeps */
const ngx_goim_part_t *ngx_goim_run_part(goim_run_t *run, uint32_t from,
    uint32_t to);


/* ---- ngx_goim_inbox.c ---- */

/* The session that recovers follows the inbox of its mid, from where it was.
   Takes was over.  NGX_ERROR: the session is closing */
ngx_int_t ngx_goim_inbox_enter(ngx_goim_session_t *s, ngx_goim_was_t *was);

/* one more follows it; NULL: no memory */
ngx_goim_timeline_t *ngx_goim_inbox_join(int64_t mid);

/* nobody follows it */
void ngx_goim_inbox_gone(ngx_goim_timeline_t *tl);


/* ---- ngx_goim_hold.c ---- */

/* A live item, for all who follow: at once, or behind the one that it follows.
   The reference is the caller's. */
void ngx_goim_hold_run(ngx_goim_timeline_t *tl, goim_run_t *run);

/* what is held goes, if anything is */
void ngx_goim_hold_free(ngx_goim_timeline_t *tl);


/* ---- ngx_goim_pushes.c ---- */

/* not its inbox */
#define ngx_goim_follows_pushes(f)                                           \
    (((ngx_goim_timeline_t *) (f)->place.timeline)->mid < 0)

/* It leaves that timeline. */
void ngx_goim_pushes_leave(ngx_goim_follower_t *f);

int ngx_goim_pushes_send(goim_follow_t *f, goim_run_t *run, uint32_t from,
    uint32_t to);


#endif /* _NGX_GOIM_FOLLOW_H_INCLUDED_ */
