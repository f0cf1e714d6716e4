/*
 * logic: what backends and comets ask for. Each thread is a whole logic with
 * an event loop of its own; threads share the configuration, the counters
 * and Redis, nothing else. This header is the thread; what a file offers to
 * the others stands in a header of its name, and none includes them all.
 *
 *     http.c      a backend's request in, its answer out
 *     push.c      a push: targets looked up, grouped, written to the bus
 *     disconnect.c  sessions are to end: written to the bus like a push
 *     revoke.c    tokens that backends revoke,
 *     revoked.c   are refused, and known to all
 *     history.c   which rooms have a history, by what stands in Redis
 *     read.c      items of one, from Redis
 *     heads.c     where many of them stand, for nodes
 *     read_http.c items for backends
 *     read_rpc.c  items for nodes, many of which want the same pages:
 *     pages.c     they are kept
 *     online.c    counts of rooms, told by comets and asked by backends
 *     devices.c   the sessions of users
 *     events.c    what the application is told of sessions, as events_body.c
 *                 has it, and of their messages (events_message.c)
 *     who.c       sessions whose worker is gone, where events are told
 *     members.c   who is in a room
 *     retire.c    counts of zones that are gone leave the sums
 *     top.c       the rooms with the most in them
 *     nodes.c     the set of nodes
 *     weighted.c  which of them a client should take
 *     canary.c    sent through everything, so that /ready knows that it works
 *     health.c    /health, /ready, /metrics, what to say about Redis at start
 *
 *     rpc.c       a comet's call in, its reply out
 *     auth.c      who a client is: by its token, or by asking the application
 *     auth_jwt.c  by a signed token
 *     jwt_keys.c  what those are verified with: files, a URL
 *     session.c   who is where, in Redis
 *     kick.c      the word to a node that a session was replaced
 *     rooms.c     which nodes have members of a room
 *     receive.c   packets of clients for the application
 *     send.c      what clients send, with a first line that says where
 *                 (send_line.c): checked, published. From sockets
 *                 (send_call.c), over HTTP (send_http.c)
 *     send_rate.c how often
 *     send_before.c  the application's word before
 *     hook.c      HTTP requests to the application, by libcurl
 *     hook_retry.c  again, those without an answer
 *     hook_sign.c  signed
 *     breaker.c   not now: the application fails all logins
 *
 *     im_do.c     messages between people: commands,
 *     im_http.c   from backends, and users by HTTP,
 *     im_call.c   and from clients;
 *     im_push.c   pushes that are stored,
 *     im_seen.c   and how much of them devices have had;
 *     im.c        to job,
 *     im_reply.c  whose answers come back,
 *     im_read.c   or what is stored; im_ticket.c: tokens that jwt_sign.c signs
 *     offline.c   what the application is told of who is away,
 *     offline_look.c  when that is still so
 *
 *     access.c    who may call which route of the HTTP API
 *     keys.c      by which key
 *     bearer.c    or by a user's own token
 *
 *     query.c token.c grants.c cidr.c group.c balance.c    no network there,
 *     jwt.c jwt_sign.c jwk.c base64url.c                   nor here
 */

#ifndef LOGIC_H
#define LOGIC_H

#include <event2/event.h>
#include <sys/queue.h>

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"
#include "svc/bus.h"
#include "svc/here.h"
#include "svc/http.h"
#include "svc/listen.h"
#include "svc/notify.h"
#include "svc/redis.h"
#include "svc/registry.h"

#include "conf.h"
#include "counters.h"
#include "keys.h"


typedef struct logic_thread_s  logic_thread_t;
typedef struct logic_call_s    logic_call_t;
typedef struct logic_link_s    logic_link_t;
typedef struct logic_push_s    logic_push_t;
typedef struct logic_kick_s    logic_kick_t;
typedef struct logic_hook_s    logic_hook_t;
typedef struct logic_jwt_keys_s  logic_jwt_keys_t;
typedef struct logic_nodes_s   logic_nodes_t;
typedef struct logic_top_s     logic_top_t;
typedef struct logic_canary_s  logic_canary_t;
typedef struct logic_events_s  logic_events_t;
typedef struct logic_history_s logic_history_t;
typedef struct logic_offline_s logic_offline_t;
typedef struct logic_im_s      logic_im_t;
typedef struct store_s         store_t;


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
    int64_t                       drained;    /* when it was asked */
    int64_t                       idle;       /* since when, while draining */

    notify_t                     *notify;     /* of the first thread */
    here_t                       *here;       /* the same */
    logic_canary_t               *canary;     /* the same */
    logic_events_t               *events;     /* the same; NULL: none are told */
    logic_offline_t              *offline;    /* the same: of messages for who
                                                 is away */
    svc_redis_t                  *redis;
    store_t                      *store;
    bus_producer_t               *bus;
    registry_t                   *registry;
    size_t                        prefix_len;
    char                          from[HERE_FROM];    /* told with records */

    http_server_t                *http;
    int                           http_fd;    /* the http server's, */
    int                           public_fd;  /* and its public listener's */
    logic_keys_t                 *keys;       /* as seen last */

    svc_listener_t               *rpc;
    struct logic_links_s          links;

    struct logic_pushes_s         pushes;     /* the oldest first */
    struct event                 *overdue;
    size_t                        pending;    /* bytes of their bodies */
    struct logic_pushes_s         free_pushes;
    size_t                        nfree_pushes;

    struct logic_kicks_s          kicks;      /* not yet in their streams */
    size_t                        nkicks;

    logic_nodes_t                *nodes;
    logic_top_t                  *top;
    logic_history_t              *history;
    logic_hook_t                 *auth;       /* NULL: it is not asked */
    logic_jwt_keys_t             *jwt_keys;   /* NULL: no signed tokens */
    logic_im_t                   *im;         /* NULL: no messages between
                                                 people */
    logic_hook_t                 *receive;    /* NULL: only counted */
    logic_hook_t                 *before;     /* NULL: it is not asked */

    unsigned                      up:1;       /* redis, as counted */
    unsigned                      asked:1;    /* how Redis is configured */
    unsigned                      draining:1;
    unsigned                      finished:1;
};

/*
 * A Redis key: prefix, kind ("sess_") and name. buf holds LOGIC_KEY_BUF
 * bytes; a longer name than LOGIC_NAME_MAX is the caller's error.
 */
#define LOGIC_NAME_MAX  (GOIM_SERVER_MAX + GOIM_ZONE_MAX + 26)
#define LOGIC_KEY_BUF   (GOIM_PREFIX_MAX + 32 + LOGIC_NAME_MAX)

size_t logic_redis_key(logic_thread_t *t, char *buf, const char *kind,
    const void *name, size_t len);

/* Redis said no: log it (seldom) with what was tried. */
void logic_redis_said(const char *what, const redisReply *reply);

#endif
