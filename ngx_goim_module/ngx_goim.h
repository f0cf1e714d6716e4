/*
 * Fronts, applications and sessions: by this header alone the core, the fronts
 * and the applications know each other.
 *
 * The core knows neither HTTP nor stream types.  A front (WebSocket, TCP)
 * turns bytes into messages and back; an application (goim, echo) says what
 * messages mean.  A session ties a connection to one of each.
 */

#ifndef _NGX_GOIM_H_INCLUDED_
#define _NGX_GOIM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "common/goim_limits.h"

#include "ngx_goim_index.h"


/* Fronts in another .so refer to it: one that was made for another layout of
   what is declared here does not load.  A change of the layout renames it. */
#define NGX_GOIM_ABI            ngx_goim_abi_12

extern const ngx_uint_t  NGX_GOIM_ABI;

/* the longest frame header a front puts before a message */
#define NGX_GOIM_HEAD           10


typedef struct ngx_goim_session_s  ngx_goim_session_t;
typedef struct ngx_goim_room_s     ngx_goim_room_t;


/*
 * For the directives of fronts (goim_subscribe and such): the configuration
 * needs a goim { }, before or after.  Without one nginx does not start and
 * says which directive asked for it.
 */
void ngx_goim_require(ngx_conf_t *cf);


/* ---- blocks of bytes to send, shared by reference (ngx_goim_queue.c) ---- */

typedef struct {
    uint32_t                    refs;
    uint32_t                    len;
    u_char                      data[1];
} ngx_goim_buf_t;


/* one reference, the caller's; NULL: no memory */
ngx_goim_buf_t *ngx_goim_buf_alloc(size_t len);
void ngx_goim_buf_unref(ngx_goim_buf_t *b);


/* ---- session ---- */

/* A session's place in a list; without a session: how far a fan-out came. */
typedef struct {
    ngx_queue_t                 queue;
    ngx_goim_session_t         *session;
} ngx_goim_member_t;


typedef struct {
    ngx_goim_buf_t             *buf;
    uint32_t                    pos;
    uint32_t                    last;
} ngx_goim_item_t;


/* Of the request that became the session, for the application: one
   allocation. */

typedef struct {
    const char                 *name;
    ngx_str_t                   value;
} ngx_goim_header_t;


typedef struct {
    ngx_str_t                   cookie;
    const char                 *cookie_name;    /* the token's; NULL: none */
    ngx_str_t                   query;
    ngx_uint_t                  nheaders;
    ngx_goim_header_t           headers[1];     /* and more behind */
} ngx_goim_upgrade_t;


struct ngx_goim_session_s {
    ngx_connection_t           *connection;
    const struct ngx_goim_front_s  *front;
    const struct ngx_goim_app_s    *app;

    void                       *input;      /* the front's, NULL at rest: a
                                               partial message */
    void                       *request;    /* the front's: what finalize()
                                               has to end */
    ngx_str_t                   addr;       /* the client's, text, no port;
                                               owned by the session */
    ngx_goim_upgrade_t         *upgrade;    /* until auth was sent; owned */

    /* output: ngx_goim_queue.c */
    ngx_goim_item_t            *items;      /* &item, or allocated */
    ngx_goim_item_t             item;
    uint32_t                    nitems;     /* waiting */
    uint32_t                    first;
    uint32_t                    size;       /* of items */
    uint32_t                    queued;     /* bytes */
    uint32_t                    unsettled;  /* of items, the last ones, since a
                                               write was refused */
    uint32_t                    offered;    /* bytes that TLS has refused, and
                                               must be offered again */
    uint32_t                    wasted;     /* bytes read while closing */
    ngx_queue_t                 dirty;
    ngx_queue_t                 resumed;

    /* goim: ngx_goim_session.c */
    uint64_t                    id;         /* unique in the zone */
    int64_t                     mid;
    ngx_str_t                   key;        /* len 0: not authenticated */
    ngx_goim_entry_t            by_key;
    struct ngx_goim_key_s      *zone_key; /* the zone knows it is here */
    ngx_goim_member_t           in_all;
    ngx_goim_member_t           in_room;
    ngx_goim_room_t            *room;
    void                       *rooms;      /* it may enter; NULL: any */
    uint32_t                    naccepts;
    int32_t                    *accepts;    /* sorted */
    void                       *ops;        /* it may accept; NULL: any */
    struct ngx_goim_sender_s   *sender;     /* it may send; owned */
    struct ngx_goim_data_s     *data;       /* for the application; owned */
    struct ngx_goim_auth_s     *auth;       /* outstanding at logic, or */
    struct ngx_goim_receive_s  *receive;    /* a packet, or */
    struct ngx_goim_entering_s *entering;   /* a room */
    struct ngx_goim_follower_s *follow;     /* it recovers; owned */
    struct ngx_goim_follower_s *inbox;      /* ... and has one; owned */
    ngx_queue_t                 wait;       /* an auth for its turn; later
                                               a renewal */
    ngx_uint_t                  peer;       /* the logic that knows it */
    uint64_t                    life;       /* of Redis, that knows it */
    ngx_msec_t                  heartbeat;  /* interval allowed */
    ngx_msec_t                  alive;      /* time of the last one */
    ngx_msec_t                  renew;      /* when to tell logic */
    ngx_msec_t                  renew_interval;
    ngx_msec_t                  since;      /* it came; 0: it is about to */
    uint32_t                    moves;      /* changes of its room, */
    uint32_t                    told;       /* and how many logic knows */
    ngx_msec_t                  expires;    /* its token does; 0: never */
    ngx_str_t                  *jti;        /* of its token; NULL: none; owned */
    ngx_queue_t                 attached;   /* among all of the worker */
    struct ngx_goim_contrib_s  *zone_addr;  /* the zone's count of addr */

    unsigned                    busy:1;     /* a message's answer is awaited:
                                               give no other message */
    unsigned                    closing:1;
    unsigned                    parted:1;   /* the peer has sent its close
                                               frame, or will not */
    unsigned                    shut:1;     /* our side is shut down */
    unsigned                    authorized:1;
    unsigned                    is_dirty:1;
    unsigned                    held:1;     /* nothing is written yet */
    unsigned                    is_resumed:1;
    unsigned                    waiting:1;  /* auth, for the registration */
    unsigned                    renewing:1; /* in a list of those who are */
    unsigned                    traced:1;   /* its steps are written down */
    unsigned                    errors:1;   /* it wants to know why it is
                                               refused */
    unsigned                    renewable:1;    /* its token, by another */
    unsigned                    warned:1;   /* that it expires soon */
};


/*
 * A front.  Constant, one a transport.
 */
typedef struct ngx_goim_front_s {
    ngx_str_t                   name;       /* "websocket", "tcp" */

    /* the header of a frame around len bytes, to p (NGX_GOIM_HEAD bytes);
       returns its length: 0 where packets go bare, and then pushes are
       not wrapped into operation 9 either, but to those that recover */
    size_t                    (*head)(u_char *p, size_t len);
    unsigned                    framed:1;

    /* the close frame (at most 131 bytes) to p; returns its length */
    size_t                    (*bye)(u_char *p, ngx_uint_t code,
                                     const char *reason);

    /* while closing: bytes that came behind the close frame, in a buffer that
       may be changed.  NGX_AGAIN: the peer's close frame is not among them.
       NULL where there is no such frame */
    ngx_int_t                 (*parted)(ngx_goim_session_t *s, u_char *p,
                                        u_char *last);

    /* bytes that came, in a buffer of the worker's; NGX_ERROR: s is closing
       or gone */
    ngx_int_t                 (*input)(ngx_goim_session_t *s, u_char *p,
                                       u_char *last);

    /* how many bytes are kept of what came while the session was busy */
    size_t                    (*kept)(ngx_goim_session_t *s);

    /* the session is no longer busy: go on with the input that is there.
       Called by an event of its own, never from inside message() */
    void                      (*resume)(ngx_goim_session_t *s);

    /* free s->input and close the connection by the front's own function;
       the core frees the session right after */
    void                      (*finalize)(ngx_goim_session_t *s);
} ngx_goim_front_t;


/*
 * An application: what messages mean.
 */
typedef struct ngx_goim_app_s {
    /*
     * One whole message (WebSocket) or packet (TCP); `text` tells a
     * WebSocket text message.  data is the caller's and valid during the
     * call.  NGX_OK: go on.  NGX_AGAIN: taken, but s->busy is set, stop
     * giving messages until resume().  NGX_ERROR: ngx_goim_close() was
     * called; do not touch s.
     */
    ngx_int_t                 (*message)(ngx_goim_session_t *s, u_char *data,
                                         size_t len, ngx_uint_t text);

    /* the session was just made; may be NULL */
    void                      (*attached)(ngx_goim_session_t *s);

    /* the session ends (once, at the start of closing); may be NULL */
    void                      (*closed)(ngx_goim_session_t *s);

    /* time is up (s->connection->read's timer); may be NULL */
    void                      (*timeout)(ngx_goim_session_t *s);

    size_t                      max_message;    /* 0: conf max_body + header */
    size_t                      queue_size;     /* 0: as configured */
} ngx_goim_app_t;


extern const ngx_goim_app_t  ngx_goim_app;      /* goim itself */


/*
 * Take a connection: nothing of nginx's request may be used afterwards.
 * Sets c->data, the log handler and the write handler; the front sets
 * ngx_goim_input_handler() for reading and runs it once.  addr is copied.
 * NULL: no memory or a limit is reached (said in the log and counted); the
 * front answers 503 or closes.
 */
ngx_goim_session_t *ngx_goim_attach(ngx_connection_t *c,
    const ngx_goim_front_t *front, const ngx_goim_app_t *app,
    ngx_str_t *addr);

/*
 * Whether one more session may be taken now (max_sessions, the reserve of
 * worker_connections, shutdown): to answer 503 before the 101.
 */
ngx_int_t ngx_goim_may_attach(void);

/* whether max_per_addr lets no more in from this one */
ngx_uint_t ngx_goim_addr_full(ngx_str_t *addr);

/*
 * The one way a session ends; idempotent.  code is an RFC 6455 status code,
 * 0 when the peer is gone: nothing is sent then.  reason is a literal for
 * the close frame and the log.  What is queued goes out first; then the
 * close frame; then the peer's is awaited, and after shutdown() its end, both
 * within a bound; front->finalize().  s may be freed on return.
 */
void ngx_goim_close(ngx_goim_session_t *s, ngx_uint_t code,
    const char *reason);

/* the same for a frame or packet that is none: it is counted */
void ngx_goim_close_malformed(ngx_goim_session_t *s, ngx_uint_t code,
    const char *reason);

/* the longest body of a packet of its client's */
size_t ngx_goim_max_body(ngx_goim_session_t *s);

/* reads what is there and gives it to front->input() (ngx_goim_input.c) */
void ngx_goim_input_handler(ngx_event_t *rev);

/* s->busy ends: resume() comes by a posted event */
void ngx_goim_resume(ngx_goim_session_t *s);

/*
 * Queue bytes [pos, last) of b, taking a reference of its own; they leave at
 * the end of this turn of the event loop.  NGX_OK, NGX_DECLINED (dropped and
 * counted), NGX_ERROR (bound reached or no memory: the session is closing).
 */
ngx_int_t ngx_goim_send(ngx_goim_session_t *s, ngx_goim_buf_t *b,
    uint32_t pos, uint32_t last);

/* The same with bytes that are already frames: copied. */
ngx_int_t ngx_goim_send_copy(ngx_goim_session_t *s, u_char *data,
    size_t len);


#endif /* _NGX_GOIM_H_INCLUDED_ */
