/*
 * What the files of the module share: configuration, the session, and the
 * tables by which the core, the fronts and the applications know each other.
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


#include "ngx_goim_index.h"


#define NGX_GOIM_VERSION        "0.1.0"

/* Fronts in another .so refer to it: one that was made for another layout of
   what is declared here does not load.  A change of the layout renames it. */
#define NGX_GOIM_ABI            ngx_goim_abi_3

extern const ngx_uint_t  NGX_GOIM_ABI;

#define NGX_GOIM_MODULE         0x4d494f47      /* "GOIM" */
#define NGX_GOIM_CONF           0x02000000

/* the longest frame header a front puts before a message */
#define NGX_GOIM_HEAD           10


typedef struct ngx_goim_session_s  ngx_goim_session_t;
typedef struct ngx_goim_room_s     ngx_goim_room_t;
typedef struct ngx_goim_redis_s    ngx_goim_redis_t;
typedef struct ngx_goim_call_s     ngx_goim_call_t;
typedef struct ngx_goim_share_s    ngx_goim_share_t;
typedef struct ngx_goim_key_s      ngx_goim_key_t;


/* ---- configuration: goim { } (ngx_goim_core.c) ---- */

typedef struct {
    ngx_str_t                   url;        /* as written: host:port */
    ngx_str_t                   host;       /* to resolve at run time */
    in_port_t                   port;
    ngx_addr_t                 *addrs;      /* resolved at configuration */
    ngx_uint_t                  naddrs;
    ngx_str_t                   directive;  /* for errors: where it stands */
    u_char                     *file_name;
    ngx_uint_t                  line;
    unsigned                    literal:1;  /* an address, or unix: */
} ngx_goim_peer_t;


#define NGX_GOIM_TRACE_MIDS     64

/* mids to trace: sorted, each once */
typedef struct {
    ngx_uint_t                  n;
    int64_t                     mid[NGX_GOIM_TRACE_MIDS];
} ngx_goim_mids_t;


typedef struct {
    ngx_flag_t                  enabled;    /* there is a goim { } */
    ngx_str_t                   user;       /* the first directive that needs
                                               it, of another block, and where
                                               that stands */
    u_char                     *user_file;
    ngx_uint_t                  user_line;

    ngx_shm_zone_t             *shm_zone;
    ngx_str_t                   server_id;

    ngx_goim_peer_t             redis;
    ngx_str_t                   redis_user;
    ngx_str_t                   redis_password;
    ngx_int_t                   redis_db;
    ngx_str_t                   redis_prefix;
    ngx_str_t                   stream;     /* the node's: prefix, goim:node:,
                                               server_id; NUL */
    ngx_msec_t                  redis_timeout;

    ngx_array_t                 logic;      /* of ngx_goim_peer_t */
    ngx_msec_t                  logic_timeout;

    ngx_resolver_t             *resolver;   /* NULL: names were resolved at
                                               configuration time */
    ngx_msec_t                  resolver_timeout;

    ngx_str_t                   region;
    ngx_str_t                   zone_name;
    ngx_str_t                   env;
    ngx_array_t                 addrs;      /* of ngx_str_t */
    ngx_uint_t                  weight;
    ngx_flag_t                  offline;

    ngx_msec_t                  handshake_timeout;
    ngx_msec_t                  room_linger;
    size_t                      max_body;       /* of a client's packet */
    size_t                      queue_size;     /* bytes out, a session */
    ngx_uint_t                  queue_drop;     /* at the bound: drop, not
                                                   close */
    ngx_uint_t                  max_sessions;   /* a worker; 0: what
                                                   worker_connections allow */
    ngx_uint_t                  max_per_addr;   /* a node; 0: no limit */

    ngx_fd_t                   *eventfds;       /* one a worker */
    ngx_uint_t                  workers;

    ngx_open_file_t            *trace_log;      /* NULL: none, no tracing */
    ngx_goim_mids_t             trace;
} ngx_goim_conf_t;


/* NULL without a goim { } */
ngx_goim_conf_t *ngx_goim_get_conf(ngx_cycle_t *cycle);

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
    ngx_buf_t                  *cookie;     /* until auth was sent; owned */

    /* output: ngx_goim_queue.c */
    ngx_goim_item_t            *items;      /* &item, or allocated */
    ngx_goim_item_t             item;
    uint32_t                    nitems;     /* waiting */
    uint32_t                    first;
    uint32_t                    size;       /* of items */
    uint32_t                    queued;     /* bytes */
    uint32_t                    wasted;     /* bytes read while closing */
    ngx_queue_t                 dirty;
    ngx_queue_t                 resumed;

    /* goim: ngx_goim_session.c */
    uint64_t                    id;         /* unique in the zone */
    int64_t                     mid;
    ngx_str_t                   key;        /* len 0: not authenticated */
    ngx_goim_entry_t            by_key;
    ngx_goim_key_t             *shared_key; /* the zone knows it is here */
    ngx_goim_member_t           in_all;
    ngx_goim_member_t           in_room;
    ngx_goim_room_t            *room;
    void                       *rooms;      /* it may enter; NULL: any */
    uint32_t                    naccepts;
    int32_t                    *accepts;    /* sorted */
    void                       *call;       /* outstanding at logic */
    ngx_queue_t                 wait;
    ngx_uint_t                  peer;       /* the logic that knows it */
    ngx_msec_t                  heartbeat;  /* interval allowed */
    ngx_msec_t                  alive;      /* time of the last one */
    ngx_msec_t                  renew;      /* when to tell logic */
    ngx_msec_t                  renew_interval;
    ngx_queue_t                 attached;   /* among all of the worker */
    ngx_goim_share_t           *shared_addr;    /* the zone's count of addr */

    unsigned                    busy:1;     /* a message's answer is awaited:
                                               give no other message */
    unsigned                    closing:1;
    unsigned                    shut:1;     /* our side is shut down */
    unsigned                    authorized:1;
    unsigned                    is_dirty:1;
    unsigned                    is_resumed:1;
    unsigned                    waiting:1;  /* auth, for the registration */
    unsigned                    traced:1;   /* its steps are written down */
};


/*
 * A front.  Constant, one a transport.
 */
typedef struct ngx_goim_front_s {
    ngx_str_t                   name;       /* "websocket", "tcp" */

    /* the header of a frame around len bytes, to p (NGX_GOIM_HEAD bytes);
       returns its length: 0 where packets go bare, and then pushes are
       not wrapped into operation 9 either */
    size_t                    (*head)(u_char *p, size_t len);
    unsigned                    framed:1;

    /* the close frame (at most 131 bytes) to p; returns its length */
    size_t                    (*bye)(u_char *p, ngx_uint_t code,
                                     const char *reason);

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
 * ngx_goim_input_handler() for reading and runs it once.  addr is copied.  NULL: no memory or a limit
 * is reached (said in the log and counted); the front answers 503 or closes.
 */
ngx_goim_session_t *ngx_goim_attach(ngx_connection_t *c,
    const ngx_goim_front_t *front, const ngx_goim_app_t *app,
    ngx_str_t *addr);

/*
 * Whether one more session may be taken now (max_sessions, the reserve of
 * worker_connections, shutdown): to answer 503 before the 101.
 */
ngx_int_t ngx_goim_may_attach(void);

/*
 * The one way a session ends; idempotent.  code is an RFC 6455 status code,
 * 0 when the peer is gone: nothing is sent then.  reason is a literal for
 * the close frame and the log.  What is queued goes out first; then the
 * close frame, shutdown(), a bounded drain, front->finalize().  s may be
 * freed on return.
 */
void ngx_goim_close(ngx_goim_session_t *s, ngx_uint_t code,
    const char *reason);

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


/* ---- counters ---- */

/* X(name, help): the status page shows them in this order */
#define NGX_GOIM_COUNTERS(X)                                                 \
    X(accepted,          "Connections taken from HTTP or stream.")           \
    X(closed,            "Connections that ended.")                          \
    X(refused,           "Upgrades refused: bad handshake or a limit.")      \
    X(auths,             "Sessions authenticated.")                          \
    X(auth_denied,       "Auth packets that logic refused.")                 \
    X(auth_failed,       "Auths that failed: logic away or late.")           \
    X(handshake_timeouts, "Connections without auth in time.")               \
    X(heartbeat_timeouts, "Sessions without a heartbeat in time.")           \
    X(protocol_errors,   "Sessions closed for a malformed frame or packet.") \
    X(replaced,          "Sessions closed by a newer one of the same key.")  \
    X(packets_in,        "Packets from clients.")                            \
    X(receives,          "Packets handed to logic.")                         \
    X(receive_failed,    "Packets that logic did not take.")                 \
    X(rooms_refused,     "Changes to a room the session may not enter.")     \
    X(records,           "Records taken from the node's stream.")            \
    X(duplicates,        "Records seen before and left out.")                \
    X(broken,            "Stream entries or records that do not parse.")     \
    X(holes,             "Holes seen in the node's stream.")                 \
    X(missed,            "Entries missing in those holes, where countable.") \
    X(epochs,            "Changes of the bus epoch.")                        \
    X(lapped,            "Times a worker fell a whole ring behind.")         \
    X(corrupt,           "Ring entries whose checksum did not match.")       \
    X(pushed,            "Messages queued to sessions.")                     \
    X(push_dropped,      "Messages dropped at a full queue.")                \
    X(slow_closed,       "Sessions closed at a full queue.")                 \
    X(unpaced,           "Broadcasts hastened as too many wanted a pace.")   \
    X(key_missing,       "Pushes to keys that are not on this node.")        \
    X(filtered,          "Pushes whose operation the session left out.")     \
    X(bytes_out,         "Bytes queued to sessions.")                        \
    X(flushes,           "Writes to sockets.")                               \
    X(zone_full,         "Times the zone had no room for a count.")          \
    X(leases,            "Times the reader's role was taken.")               \
    X(redis_connects,    "Connections made to Redis.")                       \
    X(redis_errors,      "Errors and refusals of Redis.")                    \
    X(logic_calls,       "Calls to logic.")                                  \
    X(logic_failed,      "Calls to logic that failed or were late.")

#define NGX_GOIM_COUNTER_ENUM(name, help)  NGX_GOIM_C_##name,

enum {
    NGX_GOIM_COUNTERS(NGX_GOIM_COUNTER_ENUM)
    NGX_GOIM_C_COUNT
};

extern uint64_t  *ngx_goim_counters;    /* this worker's, in its slot; before
                                           there is one, a dummy */

#define ngx_goim_count(name, n)                                              \
    (ngx_goim_counters[NGX_GOIM_C_##name] += (n))


/* What the status page shows (ngx_goim_zone.c). */
typedef struct {
    ngx_str_t                   server_id;
    u_char                      zone_id[17];        /* hex, NUL */
    time_t                      started;
    ngx_uint_t                  registered;         /* confirmed by logic */
    ngx_uint_t                  offline;
    ngx_uint_t                  sessions;           /* connections held */
    ngx_uint_t                  authorized;         /* of them, authenticated */
    ngx_uint_t                  addrs;              /* distinct addresses */
    ngx_uint_t                  rooms;
    ngx_uint_t                  workers;            /* live slots */
    ngx_uint_t                  draining;           /* of older generations */
    ngx_pid_t                   reader_pid;         /* 0: nobody */
    uint64_t                    reader_epoch;
    ngx_uint_t                  reader_connected;   /* to Redis */
    u_char                      stream_id[48];      /* last read, NUL */
    uint64_t                    ring_size;          /* bytes */
    uint64_t                    ring_written;       /* bytes since start */
    uint64_t                    ring_lag;           /* of the slowest worker */
    uint64_t                    zone_free;          /* bytes */
    uint64_t                    counters[NGX_GOIM_C_COUNT];
} ngx_goim_stats_t;


void ngx_goim_get_stats(ngx_goim_stats_t *st);

extern const char *const  ngx_goim_counter_names[];
extern const char *const  ngx_goim_counter_help[];


/* ---- the mids that are traced (ngx_goim_trace.c) ---- */

/* One more, in decimal, 1 to 2^63-1.  NGX_DECLINED: it is none; NGX_BUSY: the
   list is full. */
ngx_int_t ngx_goim_mids_add(ngx_goim_mids_t *mids, u_char *p, size_t len);

/* the node's list: read it, make it another for all workers at once */
void ngx_goim_trace_get(ngx_goim_mids_t *mids);
void ngx_goim_trace_set(const ngx_goim_mids_t *mids);

/* Foreign bytes for a line: escaped as the access log does, cut after 256.
   Valid until the next call but one. */
ngx_str_t *ngx_goim_trace_text(const void *data, size_t len);


/* ---- Redis in nginx's event loop (ngx_goim_redis.c) ---- */

struct redisReply;

/* reply NULL: lost, or no answer in time.  An error reply is passed on. */
typedef void (*ngx_goim_redis_pt)(void *data, struct redisReply *reply);

typedef struct {
    void                      (*up)(void *data);    /* after AUTH, SELECT */
    void                      (*down)(void *data);
    void                       *data;
} ngx_goim_redis_events_t;

/*
 * A connection that outlives its disconnections, with backoff (100 ms to
 * 2 s, jitter).  All its timers are cancelable.  It connects at once, events
 * come from the loop.  Memory is the process's.
 */
ngx_goim_redis_t *ngx_goim_redis_create(ngx_goim_conf_t *gcf,
    const ngx_goim_redis_events_t *events);

/* Gone for good; outstanding callbacks come with NULL before it returns,
 * `down` does not.  Allowed in callbacks. */
void ngx_goim_redis_destroy(ngx_goim_redis_t *r);

/* Drop the connection and connect again; allowed in callbacks. */
void ngx_goim_redis_reset(ngx_goim_redis_t *r);

/*
 * One command; no answer within timeout: the connection is dropped.
 * NGX_ERROR: not connected, the callback does not come.
 */
ngx_int_t ngx_goim_redis_command(ngx_goim_redis_t *r, ngx_msec_t timeout,
    ngx_goim_redis_pt cb, void *data, int argc, const char **argv,
    const size_t *argvlen);


/* ---- RPC to logic (ngx_goim_logic.c) ---- */

struct Goim__Call;
struct Goim__Reply;

#define NGX_GOIM_LOGIC_ANY      ((ngx_uint_t) -1)

/* reply NULL: failed or late; what it says is valid during the callback */
typedef void (*ngx_goim_logic_pt)(void *data,
    const struct Goim__Reply *reply);

/*
 * This worker's links to every logic of the configuration: connect at once,
 * reconnect with backoff, Hello first.  zone_id is the hexadecimal one, NUL
 * at its end; it must live as long as the links.
 */
ngx_int_t ngx_goim_logic_init(ngx_goim_conf_t *gcf, const u_char *zone_id);

/*
 * Send a call (its id is set here).  *peer in: the instance to use if it is
 * up, or NGX_GOIM_LOGIC_ANY for round robin over those that are up; out: the
 * one taken.  The callback comes exactly once and never from inside this
 * call, unless cancelled.  NULL: no logic is up (or no memory); no callback.
 */
ngx_goim_call_t *ngx_goim_logic_call(struct Goim__Call *call,
    ngx_uint_t *peer, ngx_goim_logic_pt cb, void *data);

/* Forget a call: its callback does not come; logic may still act on it. */
void ngx_goim_logic_cancel(ngx_goim_call_t *call);

ngx_uint_t ngx_goim_logic_up(void);     /* how many are connected */

ngx_uint_t ngx_goim_logic_pending(void);    /* calls without an answer yet */

/*
 * For shutdown: send what is queued, as far as the sockets take it, close the
 * links and stop reconnecting.  Calls without an answer fail, by an event.
 * Wait (within logic_timeout) until none is pending before calling it, or the
 * last Disconnects may be lost.  Allowed in callbacks.
 */
void ngx_goim_logic_close(void);


/* ---- addresses of redis and logic (ngx_goim_peer.c) ---- */

/*
 * For directive handlers: value is host, host:port, [IPv6]:port or unix:path.
 * peer is all set here; names are not resolved yet.  Returns NGX_CONF_OK, or
 * NGX_CONF_ERROR after an error was logged that names directive and value.
 */
char *ngx_goim_peer_parse(ngx_conf_t *cf, ngx_goim_peer_t *peer,
    ngx_str_t *value, in_port_t default_port);

/*
 * For init_conf, for each peer, when all directives are known: without a
 * resolver a name is resolved now, into the cycle's pool.  NGX_ERROR after
 * an [emerg] line.
 */
ngx_int_t ngx_goim_peer_init(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf,
    ngx_goim_peer_t *peer);


#endif /* _NGX_GOIM_H_INCLUDED_ */
