/*
 * logic: what backends and comets ask for. Each thread is a whole logic with
 * an event loop of its own; threads share the configuration, the counters
 * and Redis, nothing else.
 *
 *     http.c      a backend's request in, its answer out
 *     push.c      a push: targets looked up, grouped, written to the bus
 *     online.c    counts of rooms, told by comets and asked by backends
 *     nodes.c     the set of nodes, and which of them a client should take
 *     health.c    /health, /metrics, what to say about Redis at start
 *
 *     rpc.c       a comet's call in, its reply out
 *     auth.c      who a client is: by its token, or by asking the application
 *     session.c   who is where, in Redis
 *     kick.c      the word to a node that a session was replaced
 *     receive.c   packets of clients for the application
 *     hook.c      HTTP requests to the application
 *
 *     query.c token.c cidr.c group.c balance.c rooms.c    no network there
 */

#ifndef LOGIC_H
#define LOGIC_H

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <sys/queue.h>

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/goim.pb-c.h"
#include "svc/bus.h"
#include "svc/metrics.h"
#include "svc/redis.h"
#include "svc/registry.h"

#include "balance.h"
#include "cidr.h"
#include "query.h"
#include "rooms.h"
#include "token.h"

#define LOGIC_SERVER_MAX    255     /* bytes of a server_id */
#define LOGIC_ZONE_MAX      64
#define LOGIC_PREFIX_MAX    64      /* of keys in Redis */
#define LOGIC_ROOMS_CALL    1000    /* rooms of an Online call */

typedef struct logic_thread_s  logic_thread_t;
typedef struct logic_call_s    logic_call_t;
typedef struct logic_link_s    logic_link_t;
typedef struct logic_push_s    logic_push_t;
typedef struct logic_kick_s    logic_kick_t;
typedef struct logic_hook_s    logic_hook_t;
typedef struct logic_nodes_s   logic_nodes_t;
typedef struct logic_top_s     logic_top_t;


/* ---- configuration (conf.c) ---- */

typedef struct {
    char      *url;                 /* "": there is none */
    int64_t    timeout;             /* ms, waiting for a connection too */
    int64_t    connections;         /* a thread */
    int64_t    waiting;             /* a thread */

    char       host[256];           /* of url */
    uint16_t   port;
    char      *authority;           /* host and port, as written */
    char      *path;
} logic_hook_conf_t;


typedef enum {
    LOGIC_AUTH_TRUST, LOGIC_AUTH_HTTP
} logic_auth_t;


typedef struct {
    bus_conf_t         bus;
    svc_redis_conf_t   redis;

    const char        *log;
    const char        *log_level;
    char              *http;
    char              *rpc;
    int64_t            threads;
    int64_t            drain;
    int64_t            stream_maxlen;

    int64_t            http_timeout;
    int64_t            max_body;
    int64_t            max_header;
    char              *trusted_list;
    logic_cidrs_t      trusted;

    int64_t            push_timeout;
    int64_t            max_keys;
    int64_t            max_pending;

    int64_t            ttl;
    int64_t            heartbeat;
    int64_t            heartbeat_max;

    int64_t            node_ttl;
    int64_t            node_renew;

    int64_t            max_rooms;
    int64_t            top_cache;

    char              *domain;
    char              *host_domain;
    int64_t            tcp_port;
    int64_t            ws_port;
    int64_t            wss_port;
    double             region_weight;
    char              *region_header;

    int64_t            max_delay;
    int64_t            base_delay;
    double             factor;
    double             jitter;

    logic_cidrs_t      regions;

    char              *auth_mode;
    logic_auth_t       auth;
    logic_hook_conf_t  auth_hook;
    logic_hook_conf_t  receive_hook;
} logic_conf_t;


extern const conf_schema_t  logic_schema;

int logic_conf_check(void *conf, char *err, size_t size);


/* ---- counters (main.c) ---- */

/* X(field, name, labels, help) */
#define LOGIC_COUNTERS(X)                                                    \
    X(http_requests, "goim_logic_http_requests_total", NULL,                 \
      "HTTP requests answered.")                                             \
    X(http_errors, "goim_logic_http_errors_total", NULL,                     \
      "HTTP requests answered with a status of 400 or more.")                \
    X(push[0], "goim_logic_pushes_total", "kind=\"keys\"",                   \
      "Pushes that were asked for.")                                         \
    X(push[1], "goim_logic_pushes_total", "kind=\"mids\"", "")               \
    X(push[2], "goim_logic_pushes_total", "kind=\"room\"", "")               \
    X(push[3], "goim_logic_pushes_total", "kind=\"all\"", "")                \
    X(pushed[0], "goim_logic_push_results_total", "result=\"ok\"",           \
      "Pushes by their answer: code 0, -500, -504.")                         \
    X(pushed[1], "goim_logic_push_results_total", "result=\"failed\"", "")   \
    X(pushed[2], "goim_logic_push_results_total", "result=\"unknown\"", "")  \
    X(push_keys, "goim_logic_push_keys_total", NULL,                         \
      "Keys that pushes asked for or that were found for their mids.")       \
    X(push_offline, "goim_logic_push_offline_total", NULL,                   \
      "Keys of pushes that are on no node.")                                 \
    X(push_records, "goim_logic_push_records_total", NULL,                   \
      "Records handed to the bus.")                                          \
    X(push_refused, "goim_logic_push_refused_total", NULL,                   \
      "Pushes refused because too much was waiting.")                        \
    X(lookups, "goim_logic_lookups_total", NULL,                             \
      "Lookups of keys and mids in Redis.")                                  \
    X(connects, "goim_logic_connects_total", NULL,                           \
      "Sessions connected.")                                                 \
    X(denied, "goim_logic_denied_total", NULL,                               \
      "Connects denied: the token, or the application's word.")              \
    X(connect_failed, "goim_logic_connect_failed_total", NULL,               \
      "Connects that failed: Redis or the application away.")                \
    X(disconnects, "goim_logic_disconnects_total", NULL,                     \
      "Sessions disconnected.")                                              \
    X(stale_disconnects, "goim_logic_stale_disconnects_total", NULL,         \
      "Disconnects of sessions that had been replaced.")                     \
    X(heartbeats, "goim_logic_heartbeats_total", NULL,                       \
      "Mappings renewed.")                                                   \
    X(restored, "goim_logic_restored_total", NULL,                           \
      "Mappings that were lost and restored by a renewal.")                  \
    X(swept, "goim_logic_swept_total", NULL,                                 \
      "Keys of a user removed because they are on no node.")                 \
    X(broken, "goim_logic_broken_keys_total", NULL,                          \
      "Keys of a wrong type in Redis that were replaced.")                   \
    X(kicks, "goim_logic_kicks_total", NULL,                                 \
      "Sessions told to end for a newer one of the same key.")               \
    X(kick_failed, "goim_logic_kick_failed_total", NULL,                     \
      "Kicks that could not be written.")                                    \
    X(missing, "goim_logic_missing_total", NULL,                             \
      "Keys that a node reported missing.")                                  \
    X(missing_removed, "goim_logic_missing_removed_total", NULL,             \
      "Stale mappings of missing keys that were removed.")                   \
    X(receives, "goim_logic_receives_total", NULL,                           \
      "Packets of clients taken.")                                           \
    X(receive_failed, "goim_logic_receive_failed_total", NULL,               \
      "Packets of clients that the application did not take.")               \
    X(registers, "goim_logic_registers_total", NULL,                         \
      "Registrations of nodes and their renewals.")                          \
    X(registers_refused, "goim_logic_registers_refused_total", NULL,         \
      "Registrations refused: another instance has the server_id.")          \
    X(rpc_connections, "goim_logic_rpc_connections_total", NULL,             \
      "Connections of comets taken.")                                        \
    X(rpc_calls, "goim_logic_rpc_calls_total", NULL,                         \
      "Calls of comets.")                                                    \
    X(rpc_failed, "goim_logic_rpc_failed_total", NULL,                       \
      "Calls answered with FAILED.")                                         \
    X(rpc_malformed, "goim_logic_rpc_malformed_total", NULL,                 \
      "Calls and frames that could not be understood.")                      \
    X(hook_requests, "goim_logic_hook_requests_total", NULL,                 \
      "Requests to the application.")                                        \
    X(hook_failed, "goim_logic_hook_failed_total", NULL,                     \
      "Requests to the application without an answer in time.")              \
    X(rooms_full, "goim_logic_rooms_full_total", NULL,                       \
      "Rooms left out of online/top: more than max_rooms.")

/* the same for what goes up and down */
#define LOGIC_GAUGES(X)                                                      \
    X(rpc_links, "goim_logic_rpc_links", NULL,                               \
      "Connections of comets now.")                                          \
    X(push_waiting, "goim_logic_push_waiting", NULL,                         \
      "Pushes without an answer now.")                                       \
    X(threads, "goim_logic_threads", NULL,                                   \
      "Threads.")                                                            \
    X(redis_up, "goim_logic_redis_connections", NULL,                        \
      "Threads with a connection to Redis.")                                 \
    X(nodes_silent, "goim_logic_nodes_silent", NULL,                         \
      "Nodes not renewed in time but kept, as too many fell silent "         \
      "together.")

typedef struct {
    metric_t  *http_requests, *http_errors;
    metric_t  *push[4], *pushed[3];
    metric_t  *push_keys, *push_offline, *push_records, *push_refused;
    metric_t  *lookups;
    metric_t  *connects, *denied, *connect_failed;
    metric_t  *disconnects, *stale_disconnects;
    metric_t  *heartbeats, *restored, *swept, *broken;
    metric_t  *kicks, *kick_failed;
    metric_t  *missing, *missing_removed;
    metric_t  *receives, *receive_failed;
    metric_t  *registers, *registers_refused;
    metric_t  *rpc_connections, *rpc_calls, *rpc_failed, *rpc_malformed;
    metric_t  *hook_requests, *hook_failed;
    metric_t  *rooms_full;
    metric_t  *rpc_links, *push_waiting, *threads, *redis_up;
    metric_t  *nodes_silent;
} logic_metrics_t;

extern logic_metrics_t  logic_m;


/* ---- a thread (main.c) ---- */

TAILQ_HEAD(logic_pushes_s, logic_push_s);
TAILQ_HEAD(logic_links_s, logic_link_s);
TAILQ_HEAD(logic_kicks_s, logic_kick_s);

struct logic_thread_s {
    const logic_conf_t           *conf;
    unsigned                      index;
    pthread_t                     id;
    struct event_base            *base;
    struct event                 *wake;       /* drain or stop was asked */
    struct event                 *tick;       /* while draining */
    struct event                 *rest;       /* accept() had failed */
    int64_t                       drained;    /* when it was asked */
    int64_t                       idle;       /* since when, while draining */

    svc_redis_t                  *redis;
    bus_producer_t               *bus;
    registry_t                   *registry;
    size_t                        prefix_len;

    struct evhttp                *http;
    struct evhttp_bound_socket   *http_socket;
    size_t                        requests;   /* without an answer */
    size_t                        sending;    /* answers, while draining */

    struct evconnlistener        *rpc;
    struct logic_links_s          links;

    struct logic_pushes_s         pushes;     /* the oldest first */
    struct event                 *overdue;
    size_t                        pending;    /* bytes of their bodies */

    struct logic_kicks_s          kicks;      /* not yet in their streams */
    size_t                        nkicks;

    logic_nodes_t                *nodes;
    logic_top_t                  *top;
    logic_hook_t                 *auth;       /* NULL: trust */
    logic_hook_t                 *receive;    /* NULL: only counted */

    unsigned                      up:1;       /* redis, as counted */
    unsigned                      asked:1;    /* how Redis is configured */
    unsigned                      draining:1;
    unsigned                      finished:1;
};

/*
 * A Redis key: prefix, kind ("sess_") and name. buf holds LOGIC_KEY_BUF
 * bytes; a longer name than LOGIC_NAME_MAX is the caller's error.
 */
#define LOGIC_NAME_MAX  (LOGIC_SERVER_MAX + LOGIC_ZONE_MAX + 2)
#define LOGIC_KEY_BUF   (LOGIC_PREFIX_MAX + 32 + LOGIC_NAME_MAX)

size_t logic_redis_key(logic_thread_t *t, char *buf, const char *kind,
    const void *name, size_t len);

/* Redis said no: log it (seldom) with what was tried. */
void logic_redis_said(const char *what, const redisReply *reply);

/* Listen on the address of [logic] http or rpc; share: with the other
 * threads' sockets. -1 with a message. */
int logic_listen(const char *addr, int share, char *err, size_t size);

/* Accept failed (no descriptors, mostly): rest for a moment; data is the
 * thread. */
struct evconnlistener;
void logic_accept_failed(struct evconnlistener *l, void *data);


/* ---- HTTP (http.c) ---- */

int logic_http_start(logic_thread_t *t, char *err, size_t size);
void logic_http_drain(logic_thread_t *t);
void logic_http_stop(logic_thread_t *t);

/* Each request is answered exactly once by one of these. data: may be NULL;
 * its reference is taken. */
void logic_http_answer(logic_thread_t *t, struct evhttp_request *req,
    int status, int code, const char *message, json_t *data);
void logic_http_text(logic_thread_t *t, struct evhttp_request *req,
    int status, const char *type, const char *text, size_t len);

/* HTTP 400, code -400 and a message which names the parameter. */
void logic_http_bad(logic_thread_t *t, struct evhttp_request *req,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* HTTP 200 and code -500: Redis did not do what was asked. */
void logic_http_failed(logic_thread_t *t, struct evhttp_request *req,
    const char *message);

/* A parameter that must be there and not empty; NULL: answered. */
const char *logic_http_need(logic_thread_t *t, struct evhttp_request *req,
    const logic_query_t *q, const char *name);

/* A number; required: must be there and not 0. -1: answered. */
int logic_http_number(logic_thread_t *t, struct evhttp_request *req,
    const logic_query_t *q, const char *name, int required, int64_t min,
    int64_t max, int64_t *value);

typedef void (*logic_http_pt)(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);


/* ---- pushes (push.c) ---- */

void logic_push_keys(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);
void logic_push_mids(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);
void logic_push_room(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);
void logic_push_all(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);

int logic_push_init(logic_thread_t *t);
void logic_push_free(logic_thread_t *t);


/* ---- online (online.c, top.c) ---- */

void logic_online_top(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);
void logic_online_room(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);
void logic_online_total(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);

void logic_online_call(logic_call_t *call);

/* The zone's counts live as long as its registration. */
void logic_online_renew(logic_thread_t *t, const char *server,
    const char *zone);
void logic_online_forget(logic_thread_t *t, const char *server,
    const char *zone);

/* <prefix>ol_<server>/<zone>; its length */
size_t logic_online_key(logic_thread_t *t, char *buf, const char *server,
    const char *zone);

int logic_top_init(logic_thread_t *t);
void logic_top_free(logic_thread_t *t);


/* ---- nodes (nodes.c) ---- */

void logic_nodes_weighted(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);
void logic_nodes_instances(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);
void logic_nodes_offline(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);

void logic_register_call(logic_call_t *call);
void logic_deregister_call(logic_call_t *call);

int logic_nodes_init(logic_thread_t *t);
void logic_nodes_free(logic_thread_t *t);


/* ---- health (health.c) ---- */

void logic_health(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);
void logic_metrics(logic_thread_t *t, struct evhttp_request *req,
    logic_query_t *q);

/* Redis is up: say what is risky about its configuration. */
void logic_health_ask(logic_thread_t *t);


/* ---- RPC (rpc.c) ---- */

struct logic_call_s {
    TAILQ_ENTRY(logic_call_s)   entry;
    logic_thread_t             *thread;
    logic_link_t               *link;       /* NULL: the comet is gone */
    Goim__Call                 *msg;
};

int logic_rpc_start(logic_thread_t *t, char *err, size_t size);
void logic_rpc_drain(logic_thread_t *t);
void logic_rpc_stop(logic_thread_t *t);

/* Each call is answered exactly once, and is freed by that. */
void logic_reply(logic_call_t *call, Goim__Reply *reply);
void logic_reply_ok(logic_call_t *call);
void logic_reply_code(logic_call_t *call, Goim__Reply__Code code,
    const char *error);

/* server_id and zone of a call, as they may be used in keys */
int logic_zone_valid(const char *server, const char *zone);


/* ---- sessions (auth.c, session.c, receive.c) ---- */

void logic_auth_call(logic_call_t *call);

void logic_session_connect(logic_call_t *call, logic_who_t *who);
void logic_disconnect_call(logic_call_t *call);
void logic_heartbeat_call(logic_call_t *call);
void logic_missing_call(logic_call_t *call);

void logic_receive_call(logic_call_t *call);


/* ---- the older session of a key (kick.c) ---- */

/* <server>/<zone>/<session> and a NUL */
#define LOGIC_HOLDER_BUF  (LOGIC_SERVER_MAX + LOGIC_ZONE_MAX + 24)

/* Tell the holder's node that this session of the key has been replaced. */
void logic_kick(logic_thread_t *t, const char *holder, size_t len,
    const void *key, size_t key_len);

/* Forget the kicks that are still to be tried again. */
void logic_kick_free(logic_thread_t *t);


/* ---- the application (hook.c) ---- */

/* status 0: no answer. body is valid during the call. */
typedef void (*logic_hook_pt)(int status, const char *body, size_t len,
    void *data);

logic_hook_t *logic_hook_new(logic_thread_t *t,
    const logic_hook_conf_t *conf);

/* Whoever waits is told status 0. */
void logic_hook_free(logic_hook_t *h);

/*
 * POST. query: appended to the path, "" for none; header: name, value, ...,
 * NULL; a value that is no header's is left out. Everything is copied. The
 * callback does not come from inside. -1: too many wait, no callback.
 */
int logic_hook_post(logic_hook_t *h, const char *query,
    const char *const *header, const void *body, size_t len,
    logic_hook_pt cb, void *data);

size_t logic_hook_busy(const logic_hook_t *h);

#endif
