/*
 * What the core's files know of each other: one worker's life.
 */

#ifndef _NGX_GOIM_CORE_H_INCLUDED_
#define _NGX_GOIM_CORE_H_INCLUDED_


#include "ngx_goim.h"
#include "ngx_goim_conf.h"
#include "ngx_goim_logic.h"
#include "ngx_goim_trace.h"
#include "ngx_goim_zone.h"
#include "common/goim_answer.h"
#include "common/goim_limits.h"
#include "common/goim_packet.h"
#include "proto/goim.pb-c.h"




extern ngx_module_t       ngx_goim_module;
extern ngx_goim_conf_t   *ngx_goim_conf;        /* this worker's */

/* data of events that have no connection: debug lines ask for a descriptor */
extern ngx_connection_t   ngx_goim_no_connection;


/* ---- ngx_goim_conf.c ---- */

extern ngx_command_t      ngx_goim_commands[];

void *ngx_goim_create_conf(ngx_cycle_t *cycle);


/* ---- ngx_goim_setup.c ---- */

char *ngx_goim_init_conf(ngx_cycle_t *cycle, void *conf);


/* ms..2*ms, so that what began together does not go on together */
#define ngx_goim_jitter(ms)  ((ms) + (ms) * (ngx_random() % 1000) / 1000)

/* ngx_goim_core.c: tell the workers in mask that the ring has news */
void ngx_goim_wake(uint64_t *mask);

/* ngx_goim_disconnect.c: for calls whose answer changes nothing */
void ngx_goim_ignore_reply(void *data, const Goim__Reply *reply);


/* ---- ngx_goim_attach.c ---- */

extern ngx_queue_t  ngx_goim_sessions;          /* all that are attached */

void ngx_goim_attach_init(void);
ngx_uint_t ngx_goim_attached(void);             /* how many there are */
ngx_uint_t ngx_goim_open(void);                 /* of them, not closing */

/* the zone's lists are empty: contribute again what this worker has.  Under
   the lock. */
void ngx_goim_attach_contribute(void);

/* a session that is closing has nothing left to send */
void ngx_goim_close_sent(ngx_goim_session_t *s);


/* ---- ngx_goim_drain.c ---- */

/* close those whose turn it is, once this worker leaves or the node drains */
void ngx_goim_drain_tick(void);


/* ---- ngx_goim_queue.c ---- */

void ngx_goim_queue_init(void);

/* The same as ngx_goim_send(), whatever waits: its sender has a bound. */
ngx_int_t ngx_goim_send_always(ngx_goim_session_t *s, ngx_goim_buf_t *b,
    uint32_t pos, uint32_t last);

/* takes over the caller's reference, if NGX_OK */
ngx_int_t ngx_goim_queue_push(ngx_goim_session_t *s, ngx_goim_buf_t *b,
    uint32_t pos, uint32_t last);

/* NGX_OK: all is sent; NGX_AGAIN; NGX_ERROR */
ngx_int_t ngx_goim_queue_flush(ngx_goim_session_t *s);

/* What is queued from now on waits, until it is released: after 2 s at the
   latest, and when the session closes. */
void ngx_goim_queue_hold(ngx_goim_session_t *s);
void ngx_goim_queue_release(ngx_goim_session_t *s);
void ngx_goim_queue_write_handler(ngx_event_t *wev);
void ngx_goim_queue_free(ngx_goim_session_t *s);


/* ---- ngx_goim_session.c ---- */

ngx_int_t ngx_goim_session_init(ngx_log_t *log);
ngx_goim_session_t *ngx_goim_session_find(u_char *key, size_t len);

/* authenticated: it is found by its key, and gets what is for all */
void ngx_goim_session_enter(ngx_goim_session_t *s);

/* wake up when it is silent for too long, or something is due of its token */
void ngx_goim_session_timer(ngx_goim_session_t *s);

/* A packet whose answer logic has to give. */
typedef struct ngx_goim_receive_s {
    ngx_goim_session_t     *session;
    ngx_goim_call_t        *call;
    uint16_t                version;
    int32_t                 operation;
    int32_t                 sequence;
} ngx_goim_receive_t;

/* the call is made for it, and its answer awaited: NGX_AGAIN; NGX_DECLINED: no
   logic is up; NGX_ERROR: no memory, the session is closing */
ngx_int_t ngx_goim_session_ask(ngx_goim_session_t *s, goim_packet_t *p,
    Goim__Call *call, ngx_goim_logic_pt cb);

/* NGX_ERROR: the session is closing */
ngx_int_t ngx_goim_reply(ngx_goim_session_t *s, uint16_t version,
    int32_t operation, int32_t sequence, const u_char *body, size_t len);

/* a packet in a frame of the session's front; NULL: no memory */
ngx_goim_buf_t *ngx_goim_packet(ngx_goim_session_t *s, uint16_t version,
    int32_t operation, int32_t sequence, const u_char *body, size_t len);


/* ---- ngx_goim_answer.c: operation 6 ---- */

/* whether it wants reasons, as its auth packet says */
void ngx_goim_answer_auth(ngx_goim_session_t *s, const u_char *body,
    size_t len);

/*
 * What its packet asked for is refused: it is told why, if it wants reasons,
 * before the packet's own answer.  code is of common/goim_answer.h, reason
 * UTF-8.  NGX_OK, NGX_DECLINED (dropped, counted), NGX_ERROR (the session is
 * closing).
 */
ngx_int_t ngx_goim_refuse(ngx_goim_session_t *s, int32_t operation,
    int32_t sequence, ngx_int_t code, const char *reason);

/* The same of what was taken from it though it asked for nothing: operations
   that it accepted. */
ngx_int_t ngx_goim_answer_lost(ngx_goim_session_t *s, const char *reason,
    const int32_t *ops, ngx_uint_t n);

/* its token ends in so many ms */
ngx_int_t ngx_goim_answer_expires(ngx_goim_session_t *s, ngx_msec_t left);

/* before it is closed */
void ngx_goim_answer_bye(ngx_goim_session_t *s, ngx_uint_t code,
    const char *reason);


/* ---- ngx_goim_auth.c ---- */

void ngx_goim_auth_init(void);

/* as an application's message() */
ngx_int_t ngx_goim_auth_start(ngx_goim_session_t *s,
    goim_packet_t *p);

/* handshake_timeout is over, and auth was sent */
void ngx_goim_auth_timeout(ngx_goim_session_t *s);

/* the session ends before its answer has come */
void ngx_goim_auth_forget(ngx_goim_session_t *s);

/* the node is registered: auths that waited for it go on */
void ngx_goim_auth_registered(void);

/* a newer session of its key is there, and this one has no answer yet */
void ngx_goim_auth_kick(uint64_t id);


/* whether logic's answer is within what there may be */
ngx_uint_t ngx_goim_auth_valid(const Goim__Connected *in);

/* What the application wants to be told again with each packet, in the place of
   what it was; and to tell it. */
ngx_int_t ngx_goim_auth_data(ngx_goim_session_t *s, const Goim__Connected *in);
void ngx_goim_auth_tell(ngx_goim_session_t *s, Goim__Receive *receive);


/* ---- ngx_goim_token.c: it ends, another one takes its place ---- */

/* as logic says; NGX_ERROR: no memory */
ngx_int_t ngx_goim_token_set(ngx_goim_session_t *s, const Goim__Connected *in);

/* ms until something is due; NGX_TIMER_INFINITE: nothing is */
ngx_msec_t ngx_goim_token_wait(ngx_goim_session_t *s);

/* if it is: the session is told, or closed (NGX_ERROR) */
ngx_int_t ngx_goim_token_due(ngx_goim_session_t *s);

/* another auth packet; as an application's message() */
ngx_int_t ngx_goim_token_renew(ngx_goim_session_t *s, goim_packet_t *p);


/* ---- ngx_goim_sub.c: the operations a session accepts ---- */


ngx_uint_t ngx_goim_session_accepts(ngx_goim_session_t *s, int32_t op);

/* NGX_DECLINED: it accepts as many as there may be */
ngx_int_t ngx_goim_sub_add(ngx_goim_session_t *s, int32_t op);
void ngx_goim_sub_remove(ngx_goim_session_t *s, int32_t op);

/* how many of these it does not accept yet */
ngx_uint_t ngx_goim_sub_new(ngx_goim_session_t *s, const int32_t *ops,
    ngx_uint_t n);

/* those it may accept: as logic says, in place of what it said before
   (NGX_ERROR: no memory), and whether */
ngx_int_t ngx_goim_sub_limit(ngx_goim_session_t *s,
    const Goim__Connected *in);
ngx_uint_t ngx_goim_sub_allowed(ngx_goim_session_t *s, int32_t op);


/* ---- ngx_goim_sender.c: sessions that may send ---- */

/* as logic says, in place of what it said before; NGX_ERROR: no memory */
ngx_int_t ngx_goim_sender_set(ngx_goim_session_t *s,
    const Goim__Connected *in);

/* ms until it may send; 0: now, and that counts */
ngx_msec_t ngx_goim_sender_wait(ngx_goim_session_t *s);

/* it may not: the answer, as ngx_goim_reply() */
ngx_int_t ngx_goim_sender_often(ngx_goim_session_t *s, goim_packet_t *p,
    ngx_msec_t wait);

/* what logic is to know of it; lent */
ngx_uint_t ngx_goim_sender_takes(ngx_goim_session_t *s, int32_t operation);
void ngx_goim_sender_grant(ngx_goim_session_t *s, Goim__Receive *receive);

/* logic's reply (NULL: none came), and an answer of ours or logic's */
ngx_int_t ngx_goim_sender_reply(ngx_goim_session_t *s, uint16_t version,
    int32_t operation, int32_t sequence, const Goim__Reply *reply);
ngx_int_t ngx_goim_sender_answer(ngx_goim_session_t *s, uint16_t version,
    int32_t operation, int32_t sequence, ngx_int_t code, const ProtobufCBinaryData *answer);


/* ---- ngx_goim_disconnect.c: what logic is to forget ---- */

/* how much a session has had of what was stored for it; 0: nothing to say */
typedef struct {
    uint64_t                seq;
    char                    epoch[GOIM_EPOCH_MAX + 1];
} ngx_goim_acked_t;

ngx_int_t ngx_goim_disconnect_init(void);

/* repeated until logic has answered; bounded */
void ngx_goim_disconnect(ngx_goim_session_t *s,
    const ngx_goim_acked_t *acked);

/* the same for a session that was gone when logic's answer to auth came */
void ngx_goim_disconnect_id(const Goim__Connected *in, uint64_t id,
    ngx_uint_t peer);

/* ends that logic has not answered yet, and when it last answered one */
ngx_uint_t ngx_goim_disconnect_pending(void);
ngx_msec_t ngx_goim_disconnect_heard(void);

/* once a tick */
void ngx_goim_disconnect_retry(void);


/* ---- ngx_goim_renew.c: who lives on, and who is known to Redis ---- */

ngx_int_t ngx_goim_renew_init(void);

/* tell logic, with others, again until it was heard */
void ngx_goim_renew(ngx_goim_session_t *s);

/* it has changed its room */
void ngx_goim_renew_moved(ngx_goim_session_t *s);

/* the workers of the zone that live */
void ngx_goim_renew_register(Goim__Register *reg);

/* the session ends */
void ngx_goim_renew_forget(ngx_goim_session_t *s);

/* once a tick */
void ngx_goim_renew_tick(void);

/* all sessions of the zone are known in this life of Redis */
ngx_uint_t ngx_goim_announced(uint64_t life);


/* ---- ngx_goim_room.c: who is where, in this worker ---- */

ngx_int_t ngx_goim_room_init(ngx_log_t *log);
ngx_goim_room_t *ngx_goim_room_find(u_char *key, size_t len);

/* the whole cluster's count, as far as it is known */
uint32_t ngx_goim_room_online(ngx_goim_room_t *room);


/* A session may enter any room, unless logic says which, in place of what it
   said before. */
ngx_int_t ngx_goim_room_limit(ngx_goim_session_t *s,
    const Goim__Connected *in);
ngx_uint_t ngx_goim_room_allowed(ngx_goim_session_t *s, const u_char *key,
    size_t len);

/* that a room was listed in Redis for this node */
typedef struct {
    uint64_t                life;
    uint64_t                order;
} ngx_goim_listing_t;

/*
 * len 0 leaves; the same room again changes nothing.  NGX_DECLINED: it stays
 * where it is, as the room has to be listed first.  listing: it was; must: see
 * ngx_goim_room_listed().
 */
ngx_int_t ngx_goim_room_change(ngx_goim_session_t *s, ngx_str_t *key,
    const ngx_goim_listing_t *listing, ngx_uint_t must);

/* an authenticated session is in the list of all, and at most in one room */
void ngx_goim_room_enter(ngx_goim_session_t *s);
void ngx_goim_room_exit(ngx_goim_session_t *s);

/* the zone's lists are empty: contribute again.  Under the lock. */
void ngx_goim_room_contribute_all(void);


/* ---- ngx_goim_enter.c: into a room that has to be listed first ---- */

ngx_int_t ngx_goim_enter_init(ngx_log_t *log);

struct ngx_goim_was_s;

/* operation 12, for a room that it may enter; as an application's message().
   Takes over what was. */
ngx_int_t ngx_goim_enter(ngx_goim_session_t *s, goim_packet_t *p,
    ngx_str_t *room, struct ngx_goim_was_s *was);

/* the answer to operation 12, and to who recovers where it is */
ngx_int_t ngx_goim_enter_answer(ngx_goim_session_t *s, uint16_t version,
    int32_t sequence);

/* the session ends */
void ngx_goim_enter_forget(ngx_goim_session_t *s);

void ngx_goim_enter_tick(void);             /* once a tick */

/* the next order with which a room is to be listed */
uint64_t ngx_goim_list_order(void);


/* ---- ngx_goim_vouch.c: whether all rooms are listed ---- */

/* what the registration says about it; it is time to say so */
void ngx_goim_vouch_register(Goim__Register *reg);
ngx_uint_t ngx_goim_vouch_news(void);

/* the registration that was sent then, with these rooms, is confirmed */
void ngx_goim_vouch_registered(const Goim__Registered *in, ngx_msec_t sent,
    uint64_t rooms);

void ngx_goim_vouch_tick(void);             /* in each worker */


/* ---- ngx_goim_fanout.c: one message to many sessions, in slices ---- */

/*
 * The record rec, which lies in b, for everyone in the room.  Records of a
 * turn leave together, in frames of up to gather_size; it came to this node
 * when `came` says, and lingers from then on.
 */
ngx_int_t ngx_goim_fanout_room(ngx_goim_room_t *room, ngx_goim_buf_t *b,
    ngx_goim_record_t *rec, ngx_msec_t came);

/* for all who accept its operation, at the record's pace */
ngx_int_t ngx_goim_fanout_all(ngx_goim_buf_t *b, ngx_goim_record_t *rec);

/* Bytes that are going out: the ring is left alone above a bound. */
size_t ngx_goim_fanout_pending(void);

/* a room that goes away takes its fan-outs with it */
void ngx_goim_fanout_drop(ngx_goim_room_t *room);

/* the end of a turn: start what was gathered */
void ngx_goim_fanout_run(void);

ngx_int_t ngx_goim_fanout_init(ngx_log_t *log);


/* ---- ngx_goim_pace.c: broadcasts that take their time ---- */

/* of how many sessions the pace is, in all nodes together */
uint32_t ngx_goim_pace_whole(Goim__Record *r);


/* ---- ngx_goim_timeline.c: histories of rooms that are followed ---- */

void ngx_goim_timelines_init(ngx_log_t *log);
void ngx_goim_timelines_tick(void);

/* this worker may lack something */
void ngx_goim_timelines_suspect(void);

/* what logic says with a registration: it changes with which rooms have a
   history; "": logic does not know */
void ngx_goim_timelines_stamp(const char *word);


/* ---- ngx_goim_follow.c: sessions that recover ---- */

/* out of its room */
void ngx_goim_follow_leave(ngx_goim_session_t *s);

/* its queue was written from */
void ngx_goim_follow_drained(ngx_goim_session_t *s);

/* where a push to it begins: over TCP in operation 9, too, if it recovers */
#define ngx_goim_push_from(s, frame, inner)                                  \
    ((s)->front->framed ? (frame)                                            \
     : (s)->follow ? (inner) - GOIM_HEADER : (inner))


/* ---- ngx_goim_inbox.c: their inboxes ---- */

ngx_int_t ngx_goim_inboxes_init(ngx_log_t *log);

void ngx_goim_inbox_leave(ngx_goim_session_t *s);

/* may: its token lets it have messages between people.  NGX_ERROR: the session
   is closing */
ngx_int_t ngx_goim_inbox_token(ngx_goim_session_t *s, ngx_uint_t may);

/* a record with a number in an inbox, of that epoch: for all who follow it */
void ngx_goim_inbox_came(ngx_goim_record_t *rec, ngx_str_t *word);

/* whether the session has it as a follower, or is not to have it */
ngx_uint_t ngx_goim_inbox_has(ngx_goim_session_t *s, ngx_goim_record_t *rec);


/* ---- ngx_goim_pushes.c: what was stored, for who does not recover ---- */

void ngx_goim_pushes_init(void);

/* NGX_ERROR: the session is closing */
ngx_int_t ngx_goim_pushes_enter(ngx_goim_session_t *s,
    const Goim__Connected *in);

/* how much it has had; 0: there is nothing new to say */
ngx_uint_t ngx_goim_pushes_acked(ngx_goim_session_t *s,
    ngx_goim_acked_t *acked);


/* ---- ngx_goim_deliver.c: ring to sessions ---- */

/* what the ring has for this worker, within a bound a turn */
void ngx_goim_deliver_follow(void);

/* fewer bytes are going out: go on, if that was waited for */
void ngx_goim_deliver_resume(void);


/* ---- ngx_goim_record.c: of the node's stream, for the ring ---- */

ngx_int_t ngx_goim_record_valid(Goim__Record *r);

/* at most, in the ring */
size_t ngx_goim_record_length(Goim__Record *r);

/* r to p; mask gets the slots it concerns, maybe none.  Returns its length. */
size_t ngx_goim_record_put(u_char *p, Goim__Record *r, uint64_t *mask);


/* ---- ngx_goim_missing.c: keys that logic takes for ours ---- */

void ngx_goim_missing(ngx_str_t *key);
void ngx_goim_missing_report(void);     /* once a tick */


/* ---- ngx_goim_canary.c: whether what is for workers comes to them ---- */

/* bytes of one in the ring, at most */
#define NGX_GOIM_CANARY  (2 + 2 + GOIM_CANARY_ID + 6 * 11)

ngx_int_t ngx_goim_canary_valid(Goim__Record *r);

/* to the ring at p, for the workers of the newest generation */
u_char *ngx_goim_canary_put(u_char *p, const Goim__Canary *canary,
    uint64_t *mask);

void ngx_goim_canary_came(ngx_str_t *packed);
void ngx_goim_canary_report(void);      /* once a tick */


/* ---- ngx_goim_end.c: sessions that backends end ---- */

void ngx_goim_end_init(ngx_log_t *log);

/* it came to this worker; NGX_ERROR: no memory */
ngx_int_t ngx_goim_end_came(ngx_goim_record_t *rec);

/* The session was let in, or has another token (renewed): NGX_ERROR: it was
   ended meanwhile, and is closing. */
ngx_int_t ngx_goim_end_meanwhile(ngx_goim_session_t *s, ngx_uint_t renewed);

void ngx_goim_end_tick(void);           /* in each worker */


/* ---- ngx_goim_reader.c: the node's stream to the ring ---- */

void ngx_goim_reader_start(void);       /* the lease was taken */
void ngx_goim_reader_stop(void);        /* the lease is gone or given up */

/* the run of Redis that is read; "" while that is not known */
u_char *ngx_goim_reader_run_id(void);

/* renew the registration there, as logic does not */
void ngx_goim_reader_renew(void);


/* ---- ngx_goim_instance.c: which run of nginx this is ---- */

ngx_int_t ngx_goim_instance_init(ngx_cycle_t *cycle);
void ngx_goim_instance_start(ngx_cycle_t *cycle);   /* in a worker */
u_char *ngx_goim_instance(void);
ngx_uint_t ngx_goim_instance_orphan(void);
ngx_uint_t ngx_goim_instance_dead(const char *holder);


/* ---- ngx_goim_lapse.c: messages were missed while nobody heard of us ---- */

void ngx_goim_lapse_init(void);

/* what logic says with a registration that was sent then */
void ngx_goim_lapse_check(const Goim__Registered *in, ngx_msec_t sent);

void ngx_goim_lapse_tick(void);         /* in each worker */


/* ---- ngx_goim_online.c: counts of rooms ---- */

void ngx_goim_online_start(void);       /* the registration was renewed */
void ngx_goim_online_end(void);         /* what is under way is given up */


/* ---- ngx_goim_register.c: the node's registration ---- */

void ngx_goim_register_start(void);     /* the stream's start is fixed */
void ngx_goim_register_stop(void);
void ngx_goim_register_tick(void);      /* in each worker */

/* the node's entry in the registry; to be freed.  NULL: no memory */
u_char *ngx_goim_register_entry(size_t *len);

/* it stands in Redis; sent: when that was asked for */
void ngx_goim_register_renewed(ngx_msec_t sent);

/*
 * A clean stop: the node leaves the registry.  NGX_AGAIN until logic has
 * answered; NGX_OK when it did, or when it cannot be told.
 */
ngx_int_t ngx_goim_register_leave(void);


#endif /* _NGX_GOIM_CORE_H_INCLUDED_ */
