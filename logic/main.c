/*
 * goim-logic: options and configuration, threads, start and end.
 */

#include "canary.h"
#include "events.h"
#include "health.h"
#include "history.h"
#include "hook.h"
#include "im.h"
#include "jwt_keys.h"
#include "kick.h"
#include "nodes.h"
#include "offline.h"
#include "online.h"
#include "push.h"
#include "read.h"
#include "rpc.h"
#include "revoked.h"
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "svc/clock.h"
#include "svc/conf.h"
#include "svc/log.h"
#include "svc/loop.h"
#include "svc/memory.h"

#define LOGIC_DRAIN_TICK   20       /* ms */
#define LOGIC_DRAIN_MIN    200      /* ms: what is on its way still counts */
#define LOGIC_DRAIN_SEND   1000     /* ms for the last answers to leave */


static int logic_start(struct event_base *base);
static void logic_drain(void);
static void logic_reload(void);
static void logic_stop(void);
static int logic_thread_init(logic_thread_t *t, char *err, size_t size);
static void logic_thread_free(logic_thread_t *t);
static void *logic_thread_run(void *data);
static void logic_thread_wake(evutil_socket_t fd, short what, void *data);
static void logic_thread_tick(evutil_socket_t fd, short what, void *data);
static void logic_thread_up(svc_redis_t *r, void *data);
static void logic_thread_down(svc_redis_t *r, void *data);


typedef enum {
    LOGIC_RUNS, LOGIC_DRAINS, LOGIC_STOPS
} logic_state_t;


logic_metrics_t         logic_m;

static logic_conf_t     logic_conf;
static logic_thread_t  *logic_threads;
static unsigned         logic_nthreads;
static unsigned         logic_running;      /* atomic */
static int              logic_state;        /* atomic, logic_state_t */


static int
logic_warn(char *why, size_t size)
{
    int  n;

    n = snprintf(why, size, "[im] db: ");

    return logic_conf.im_db[0] == '\0'
           ? 0 : db_look(logic_conf.im_db, why + n, size - (size_t) n);
}


static const svc_t  logic_svc = {
    .name = "logic",
    .summary = "takes pushes of backends and the sessions of comets",
    .schema = &logic_schema,
    .conf = &logic_conf,
    .log = &logic_conf.log,
    .log_level = &logic_conf.log_level,
    .warn = logic_warn,
    .start = logic_start,
    .drain = logic_drain,
    .reload = logic_reload,
    .stop = logic_stop,
    .drain_time = &logic_conf.drain
};


int
main(int argc, char **argv)
{
    return svc_main(&logic_svc, argc, argv);
}


static void
logic_metrics_init(void)
{
#define LOGIC_MAKE_COUNTER(field, name, labels, help)                        \
    logic_m.field = metrics_counter(name, labels, help);
#define LOGIC_MAKE_GAUGE(field, name, labels, help)                          \
    logic_m.field = metrics_gauge(name, labels, help);

#define LOGIC_MAKE_HISTOGRAM(field, name, labels, help)                      \
    logic_m.field = metrics_histogram(name, labels, help);

    LOGIC_COUNTERS(LOGIC_MAKE_COUNTER)
    LOGIC_GAUGES(LOGIC_MAKE_GAUGE)
    LOGIC_HISTOGRAMS(LOGIC_MAKE_HISTOGRAM)
}


/*
 * Threads share the addresses, which would let another process share them
 * too: one socket that shares nothing tells whether somebody is there.
 */

static int
logic_probe(const char *addr, char *err, size_t size)
{
    int  fd;

    fd = svc_listen(addr, 0, err, size);
    if (fd == -1) {
        return -1;
    }

    close(fd);

    return 0;
}


static int
logic_start(struct event_base *base)
{
    char      err[512];
    long      cpus;
    unsigned  i;

    logic_metrics_init();

    cpus = logic_conf.threads > 0 ? (long) logic_conf.threads
                                  : sysconf(_SC_NPROCESSORS_ONLN);

    logic_nthreads = cpus < 1 ? 1 : (unsigned) cpus;

    if (logic_probe(logic_conf.http, err, sizeof(err)) != 0
        || (logic_conf.http_public[0] != '\0'
            && logic_probe(logic_conf.http_public, err, sizeof(err)) != 0)
        || logic_probe(logic_conf.rpc, err, sizeof(err)) != 0)
    {
        log_write(LOG_EMERG, "%s", err);
        return -1;
    }

    if (logic_hook_setup() != 0) {
        log_write(LOG_EMERG, "libcurl could not start");
        return -1;
    }

    if (logic_conf.auth == LOGIC_AUTH_JWT
        && logic_jwt_keys_init(&logic_conf) != 0)
    {
        return -1;
    }

    logic_threads = calloc(logic_nthreads, sizeof(logic_thread_t));

    if (logic_threads == NULL || logic_read_init() != 0
        || svc_memory_start(base) != 0)
    {
        log_write(LOG_EMERG, "no memory for %u threads", logic_nthreads);
        return -1;
    }

    metrics_set(logic_m.threads, logic_nthreads);

    for (i = 0; i < logic_nthreads; i++) {
        logic_threads[i].conf = &logic_conf;
        logic_threads[i].index = i;

        if (logic_thread_init(&logic_threads[i], err, sizeof(err)) != 0) {
            log_write(LOG_EMERG, "%s", err);
            return -1;
        }
    }

    log_write(LOG_NOTICE, "logic " SVC_VERSION ": http %s, rpc %s, bus %s, "
              "redis %s, %u threads", logic_conf.http, logic_conf.rpc,
              logic_conf.bus.driver, logic_conf.redis.addr, logic_nthreads);

    if (logic_conf.auth == LOGIC_AUTH_TRUST) {
        log_write(LOG_WARN, "[auth] mode = trust: any client may be anyone "
                  "and enter any room");
    }

    for (i = 0; i < logic_nthreads; i++) {
        errno = pthread_create(&logic_threads[i].id, NULL, logic_thread_run,
                               &logic_threads[i]);
        if (errno != 0) {
            log_write(LOG_EMERG, "pthread_create(): %s", strerror(errno));
            return -1;
        }

            __atomic_add_fetch(&logic_running, 1, __ATOMIC_SEQ_CST);
    }

    return 0;
}


static void
logic_tell(logic_state_t state)
{
    unsigned  i;

    __atomic_store_n(&logic_state, state, __ATOMIC_SEQ_CST);

    for (i = 0; i < logic_nthreads; i++) {
        event_active(logic_threads[i].wake, EV_TIMEOUT, 0);
    }
}


static void
logic_drain(void)
{
    logic_tell(LOGIC_DRAINS);
}


/* Certificates and keys are changed without a restart: both the old and the new
   key stand in the file for a while. */

static void
logic_reload(void)
{
    char  err[512];

    svc_redis_reload(&logic_conf.redis);

    if (logic_conf.api_keys[0] == '\0') {
        return;
    }

    if (logic_keys_load(logic_conf.api_keys, err, sizeof(err)) != 0) {
        log_write(LOG_ERROR, "[api] keys = \"%s\" %s; those read before stay "
                  "valid", logic_conf.api_keys, err);
        return;
    }

    log_write(LOG_NOTICE, "[api] keys read again");
}


/*
 * Threads that have drained freed what was theirs; one that had to be
 * stopped has work under way that ends with the process.
 */

static void
logic_stop(void)
{
    unsigned  i;

    svc_memory_stop();
    logic_tell(LOGIC_STOPS);

    for (i = 0; i < logic_nthreads; i++) {
        pthread_join(logic_threads[i].id, NULL);

        if (logic_threads[i].finished) {
            event_free(logic_threads[i].wake);
            event_base_free(logic_threads[i].base);
        }
    }
}


/* Redis and the bus are there. */

static int
logic_thread_ready(void *data)
{
    logic_thread_t  *t = data;

    return svc_redis_is_up(t->redis) && bus_producer_healthy(t->bus);
}


static int
logic_thread_init(logic_thread_t *t, char *err, size_t size)
{
    svc_redis_events_t    events;
    struct event_config  *cfg;

    TAILQ_INIT(&t->links);
    TAILQ_INIT(&t->pushes);
    TAILQ_INIT(&t->free_pushes);
    TAILQ_INIT(&t->kicks);

    snprintf(err, size, "no memory for a thread");

    cfg = event_config_new();
    if (cfg == NULL) {
        return -1;
    }

    /* bufferevents turn reading and writing on and off */

    event_config_set_flag(cfg, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    t->base = event_base_new_with_config(cfg);
    event_config_free(cfg);

    if (t->base == NULL) {
        return -1;
    }

    t->wake = event_new(t->base, -1, EV_PERSIST, logic_thread_wake, t);
    t->tick = event_new(t->base, -1, EV_PERSIST, logic_thread_tick, t);

    if (t->wake == NULL || t->tick == NULL) {
        return -1;
    }

    events.up = logic_thread_up;
    events.down = logic_thread_down;
    events.data = t;

    t->prefix_len = strlen(t->conf->redis.prefix);
    t->redis = svc_redis_new(t->base, &t->conf->redis, &events);

    if (t->redis == NULL) {
        return -1;
    }

    t->store = store_new(t);

    if (t->store == NULL) {
        return -1;
    }

    t->registry = registry_new(t->base, t->redis, t->conf->node_ttl,
                               t->conf->node_renew);

    if (t->registry == NULL || logic_nodes_init(t) != 0
        || logic_top_init(t) != 0 || logic_push_init(t) != 0
        || logic_history_init(t) != 0)
    {
        return -1;
    }

    if (t->conf->auth == LOGIC_AUTH_HTTP) {
        t->auth = logic_hook_new(t->base, &t->conf->auth_hook);
        if (t->auth == NULL) {
            return -1;
        }
    }

    if (t->conf->auth == LOGIC_AUTH_JWT
        && (logic_jwt_keys_start(t) != 0 || logic_revoked_start(t) != 0))
    {
        return -1;
    }

    if (t->conf->receive_hook.url[0] != '\0') {
        t->receive = logic_hook_new(t->base, &t->conf->receive_hook);
        if (t->receive == NULL) {
            return -1;
        }
    }

    if (t->conf->before_hook.url[0] != '\0') {
        t->before = logic_hook_new(t->base, &t->conf->before_hook);
        if (t->before == NULL) {
            return -1;
        }
    }

    t->bus = bus_producer_new(t->base, &t->conf->bus, t->redis, err, size);
    if (t->bus == NULL) {
        return -1;
    }

    if (logic_im_start(t, err, size) != 0 || logic_http_start(t, err, size) != 0)
    {
        return -1;
    }

    if (t->index == 0) {
        t->here = here_new(t->base, t->redis, &t->conf->bus, "logic", "job",
                           logic_health_job, t);
        t->notify = notify_new(t->base, logic_thread_ready, t);
        t->canary = logic_canary_new(t);

        if (t->canary == NULL) {
            return -1;
        }
    }

    if (logic_events_start(t) != 0 || logic_offline_start(t) != 0) {
        return -1;
    }

    return logic_rpc_start(t, err, size);
}


/* Nothing is outstanding: the last word of a thread that has drained. */

static void
logic_thread_free(logic_thread_t *t)
{
    notify_free(t->notify);
    logic_canary_free(t);
    logic_events_free(t);
    logic_offline_free(t);
    http_server_free(t->http);
    logic_rpc_stop(t);
    logic_hook_free(t->auth);
    logic_jwt_keys_stop(t);
    logic_revoked_stop(t);
    logic_hook_free(t->receive);
    logic_hook_free(t->before);

    logic_im_free(t);
    bus_producer_free(t->bus);
    svc_redis_free(t->redis);
    store_free(t->store);

    if (t->here != NULL) {
        here_free(t->here);
    }

    logic_kick_free(t);
    logic_top_free(t);
    logic_nodes_free(t);
    registry_free(t->registry);
    logic_push_free(t);
    logic_history_free(t);
    logic_keys_release(t->keys);

    event_free(t->tick);
}


static void *
logic_thread_run(void *data)
{
    logic_thread_t  *t = data;

    event_base_loop(t->base, EVLOOP_NO_EXIT_ON_EMPTY);

    if (__atomic_load_n(&logic_state, __ATOMIC_SEQ_CST) == LOGIC_STOPS) {
        return NULL;
    }

    logic_thread_free(t);
    t->finished = 1;

    if (__atomic_sub_fetch(&logic_running, 1, __ATOMIC_SEQ_CST) == 0) {
        svc_loop_done();
    }

    return NULL;
}


static void
logic_thread_wake(evutil_socket_t fd, short what, void *data)
{
    logic_thread_t  *t = data;

    struct timeval  tv;

    (void) fd;
    (void) what;

    if (__atomic_load_n(&logic_state, __ATOMIC_SEQ_CST) == LOGIC_STOPS) {
        event_base_loopbreak(t->base);
        return;
    }

    if (t->draining) {
        return;
    }

    t->draining = 1;
    t->drained = svc_now();

    if (t->here != NULL) {
        here_leave(t->here);
    }

    logic_canary_stop(t);
    logic_events_stop(t);
    logic_offline_stop(t);
    http_server_drain(t->http);
    logic_rpc_drain(t);

    tv.tv_sec = 0;
    tv.tv_usec = LOGIC_DRAIN_TICK * 1000;
    event_add(t->tick, &tv);
}


static void
logic_thread_tick(evutil_socket_t fd, short what, void *data)
{
    logic_thread_t  *t = data;

    int64_t  now;

    (void) fd;
    (void) what;

    now = svc_now();

    if (now - t->drained < LOGIC_DRAIN_MIN
        || http_server_handling(t->http) > 0
        || !TAILQ_EMPTY(&t->pushes)
        || logic_canary_busy(t)
        || logic_events_busy(t)
        || logic_offline_busy(t)
        || logic_im_busy(t) > 0
        || !TAILQ_EMPTY(&t->links)
        || (t->auth != NULL && logic_hook_busy(t->auth) > 0)
        || logic_jwt_keys_busy(t) > 0
        || (t->receive != NULL && logic_hook_busy(t->receive) > 0)
        || (t->before != NULL && logic_hook_busy(t->before) > 0))
    {
        t->idle = 0;
        return;
    }

    if (t->idle == 0) {
        t->idle = now;
    }

    /* who sends or takes no more need not be waited for */

    if (http_server_moving(t->http) == 0
        || now - t->idle >= LOGIC_DRAIN_SEND)
    {
        event_base_loopbreak(t->base);
    }
}


static void
logic_thread_up(svc_redis_t *r, void *data)
{
    logic_thread_t  *t = data;

    (void) r;

    if (!t->up) {
        t->up = 1;
        metrics_add(logic_m.redis_up, 1);
    }

    /* first: what is asked next may be a login */

    logic_revoked_up(t);

    here_from(t->from, t->redis);
    store_up(t->store);
    logic_nodes_up(t);
    logic_history_up(t);
    logic_health_ask(t);
}


static void
logic_thread_down(svc_redis_t *r, void *data)
{
    logic_thread_t  *t = data;

    (void) r;

    if (t->up) {
        t->up = 0;
        metrics_add(logic_m.redis_up, -1);
    }
}


size_t
logic_redis_key(logic_thread_t *t, char *buf, const char *kind,
    const void *name, size_t len)
{
    size_t  n;

    n = strlen(kind);

    memcpy(buf, t->conf->redis.prefix, t->prefix_len);
    memcpy(buf + t->prefix_len, kind, n);
    memcpy(buf + t->prefix_len + n, name, len);

    return t->prefix_len + n + len;
}


void
logic_redis_said(const char *what, const redisReply *reply)
{
    static log_once_t  once;

    if (reply == NULL) {
        log_seldom(&once, LOG_WARN, "%s: redis did not answer", what);

    } else if (reply->type == REDIS_REPLY_ERROR) {
        log_seldom(&once, LOG_WARN, "%s: redis: %.200s", what, reply->str);

    } else {
        log_seldom(&once, LOG_WARN, "%s: redis answered with type %d", what,
                   reply->type);
    }
}
