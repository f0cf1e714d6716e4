/*
 * Inside of the Redis connection: redis.c (commands and answers), redis_conn.c
 * (how it comes up and goes down), redis_io.c (its socket), redis_greet.c (what
 * is said first).
 * hiredis formats commands and parses replies; its own asynchronous layer is
 * not used, as it asserts on what a server sends.
 */

#ifndef SVC_REDIS_INT_H
#define SVC_REDIS_INT_H

#include "redis.h"

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "resolve.h"

#include <event2/buffer.h>

#define SVC_REDIS_OUT_MAX    (128 * 1024 * 1024)    /* bytes not sent yet */
#define SVC_REDIS_REPLY_MAX  (256 * 1024 * 1024)    /* bytes of an answer */
#define SVC_REDIS_ARRAY      (1024 * 1024)          /* elements of one */
#define SVC_REDIS_SCRIPTS    32
#define SVC_REDIS_FULL       5000                   /* ms */


typedef enum {
    SVC_REDIS_WAITING,      /* for the time of the next attempt */
    SVC_REDIS_RESOLVING,
    SVC_REDIS_CONNECTING,
    SVC_REDIS_SECURING,     /* the handshake of TLS */
    SVC_REDIS_GREETING,     /* AUTH, SELECT, INFO, the life */
    SVC_REDIS_UP
} svc_redis_state_t;


/* A command that waits for its answer. */
typedef struct svc_redis_cmd_s {
    struct svc_redis_cmd_s  *next;
    svc_redis_pt             cb;        /* may be NULL */
    void                    *data;
    svc_script_t            *script;    /* EVALSHA or SCRIPT LOAD of it */
    uint64_t                 end;       /* its last byte, of all put out */
    int64_t                  sent;      /* when that one was */
} svc_redis_cmd_t;


struct svc_redis_watch_s {
    svc_redis_watch_t    *next;
    svc_redis_events_t    events;
    int                   gone;     /* freed when nobody walks the list */
};


struct svc_redis_s {
    struct event_base    *base;
    svc_redis_conf_t      conf;
    svc_redis_watch_t    *watches;
    int                   telling;

    svc_redis_state_t     state;
    int                   fd;
    svc_tls_conn_t       *tls;          /* NULL: without */
    int                   tls_read;     /* it waits for what the other */
    int                   tls_write;    /* direction does */
    struct event         *read;
    struct event         *write;
    struct event         *flush;        /* at the end of this turn */
    struct event         *timer;        /* the next attempt, connect and
                                           command timeout */
    struct event         *kick;         /* svc_redis_reconnect() */
    struct evbuffer      *out;
    redisReader          *reader;

    svc_redis_cmd_t      *first;        /* in the order they were sent */
    svc_redis_cmd_t     **last;
    svc_redis_cmd_t      *unsent;       /* the first not sent to its end */
    uint64_t              sent;         /* bytes on this connection */
    uint64_t              taken;        /* of them, not in the kernel then */
    int64_t               moved;        /* when some were sent last */
    int64_t               heard;        /* when some came back last */
    size_t                part;         /* bytes of an answer under way */

    svc_script_t         *known[SVC_REDIS_SCRIPTS];     /* by this Redis */
    size_t                nknown;
    svc_script_t         *asked[SVC_REDIS_SCRIPTS];     /* SCRIPT LOAD sent */
    size_t                nasked;

    char                  host[SVC_TLS_NAME + 1];   /* of conf.addr */
    svc_resolve_t        *resolve;
    struct addrinfo      *addrs;        /* not tried yet: from `addr` on */
    struct addrinfo      *addr;
    int                   attempts;     /* failed since the last long up */
    int64_t               since;        /* up since */
    int                   was_up;       /* ever */
    int64_t               full;         /* until then: OOM was said */

    uint64_t              life;
    int64_t               clock;        /* Redis's, ahead of svc_now() */
    int64_t               clock_sent;   /* when it was asked for */
    char                  run_id[64];
    char                 *prefix;
    char                 *life_key;

    log_once_t            lost;         /* it was up */
    log_once_t            failures;     /* to get there */
};


/* Metrics of all connections. */
typedef struct {
    metric_t  *connects;
    metric_t  *lost;
    metric_t  *timeouts;
    metric_t  *errors;
    metric_t  *up;
} svc_redis_metrics_t;

extern svc_redis_metrics_t  svc_redis_metrics;


/* redis.c */

/* As svc_redis_call(), in any state with a connection. */
int svc_redis_send(svc_redis_t *r, svc_redis_pt cb, void *data, int argc,
    const char **argv, const size_t *argvlen);

/* An answer for the first command. -1: nothing was asked. */
int svc_redis_answer(svc_redis_t *r, redisReply *reply);

int svc_redis_eval_in(svc_redis_t *r, svc_script_t *script, svc_redis_pt cb,
    void *data, int nkeys, int argc, const char **argv,
    const size_t *argvlen);

/* up, or down: everybody who watches is told. */
void svc_redis_tell(svc_redis_t *r, int up);
void svc_redis_sweep(svc_redis_t *r, int all);

/* redis_conn.c */

void svc_redis_start(svc_redis_t *r, int64_t delay);
void svc_redis_close(svc_redis_t *r, const char *why);
void svc_redis_expect(svc_redis_t *r);

/* redis_io.c: for the events of the connection */

void svc_redis_on_read(evutil_socket_t fd, short what, void *data);
void svc_redis_on_write(evutil_socket_t fd, short what, void *data);
void svc_redis_on_flush(evutil_socket_t fd, short what, void *data);

/* of hiredis, with a bound to what an announced array allocates; never NULL */
redisReader *svc_redis_reader(void);

/* redis_greet.c */

void svc_redis_greet(svc_redis_t *r);

#endif
