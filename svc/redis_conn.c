/*
 * How the connection to Redis comes up, goes down and comes up again.
 */

#include "redis_int.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>


#define SVC_REDIS_BACKOFF_MIN   50
#define SVC_REDIS_BACKOFF_MAX   2000
#define SVC_REDIS_STEADY        1000    /* up this long: begin anew */


static void svc_redis_connect(svc_redis_t *r);


static void
svc_redis_metrics_init(void)
{
    svc_redis_metrics.connects = metrics_counter("goim_redis_connects_total",
        NULL, "Connections to Redis that came up.");
    svc_redis_metrics.lost = metrics_counter("goim_redis_lost_total", NULL,
        "Connections to Redis that were lost after they came up.");
    svc_redis_metrics.timeouts = metrics_counter("goim_redis_timeouts_total",
        NULL, "Commands that Redis did not answer in time.");
    svc_redis_metrics.errors = metrics_counter("goim_redis_errors_total",
        NULL, "Error replies from Redis.");
    svc_redis_metrics.up = metrics_gauge("goim_redis_connections", NULL,
        "Connections to Redis that are up.");
}


static char *
svc_redis_name(const char *prefix, const char *name)
{
    char  *key;

    if (asprintf(&key, "%s%s", prefix, name) == -1) {
        abort();
    }

    return key;
}


/* ---- down ---- */

static int64_t
svc_redis_backoff(svc_redis_t *r)
{
    int64_t   ms;
    uint32_t  rnd;

    ms = SVC_REDIS_BACKOFF_MIN;

    if (r->attempts < 6) {
        ms <<= r->attempts;

    } else {
        ms = SVC_REDIS_BACKOFF_MAX;
    }

    if (ms > SVC_REDIS_BACKOFF_MAX) {
        ms = SVC_REDIS_BACKOFF_MAX;
    }

    r->attempts++;

    /* a thousand connections that were lost together come back one by one */

    evutil_secure_rng_get_bytes(&rnd, sizeof(rnd));

    return ms / 2 + rnd % (ms / 2 + 1);
}


static void
svc_redis_event_free(struct event **ev)
{
    if (*ev != NULL) {
        event_free(*ev);
        *ev = NULL;
    }
}


/* Everything outstanding gets no answer any more. */
static void
svc_redis_abandon(svc_redis_t *r)
{
    svc_redis_cmd_t  *cmd, *next;

    cmd = r->first;
    r->first = NULL;
    r->last = &r->first;

    for ( /* void */ ; cmd != NULL; cmd = next) {
        next = cmd->next;

        if (cmd->cb != NULL) {
            cmd->cb(r, NULL, cmd->data);
        }

        free(cmd);
    }
}


static void
svc_redis_disconnect(svc_redis_t *r)
{
    if (r->resolve != NULL) {
        svc_resolve_cancel(r->resolve);
        r->resolve = NULL;
    }

    svc_redis_event_free(&r->read);
    svc_redis_event_free(&r->write);
    event_del(r->flush);
    event_del(r->timer);
    event_del(r->kick);

    if (r->tls != NULL) {
        svc_tls_close(r->tls);
        r->tls = NULL;
        r->tls_read = 0;
        r->tls_write = 0;
    }

    if (r->fd != -1) {
        close(r->fd);
        r->fd = -1;
    }

    if (r->reader != NULL) {
        redisReaderFree(r->reader);
        r->reader = NULL;
    }

    evbuffer_drain(r->out, evbuffer_get_length(r->out));

    r->unsent = NULL;
    r->sent = 0;
    r->taken = 0;
    r->heard = 0;
    r->part = 0;
    r->nknown = 0;
    r->nasked = 0;
    r->clock_sent = 0;
}


/* Not from inside a callback: the connection is torn down and planned anew. */
void
svc_redis_close(svc_redis_t *r, const char *why)
{
    int  was_up;

    was_up = (r->state == SVC_REDIS_UP);

    if (was_up) {
        metrics_add(svc_redis_metrics.lost, 1);
        metrics_add(svc_redis_metrics.up, -1);

        if (svc_now() - r->since >= SVC_REDIS_STEADY) {
            r->attempts = 0;
            memset(&r->lost, 0, sizeof(r->lost));
            memset(&r->failures, 0, sizeof(r->failures));
        }
    }

    log_seldom(was_up ? &r->lost : &r->failures, LOG_WARN, "redis %s: %s",
               r->conf.addr, why);

    r->state = SVC_REDIS_WAITING;

    svc_redis_disconnect(r);
    svc_redis_abandon(r);

    if (was_up) {
        svc_redis_tell(r, 0);
    }

    svc_redis_start(r, svc_redis_backoff(r));
}


void
svc_redis_start(svc_redis_t *r, int64_t delay)
{
    r->state = SVC_REDIS_WAITING;
    svc_timer(r->timer, delay);
}


/*
 * A command's time begins when its last byte is sent, and Redis is not late
 * while answers come. What waits to be sent has its time from the last byte
 * that went.
 */
static int64_t
svc_redis_deadline(svc_redis_t *r)
{
    int64_t  since;

    if (r->first == r->unsent) {
        since = r->moved;

    } else {
        since = r->first->sent;
    }

    if (r->heard > since) {
        since = r->heard;
    }

    return since + r->conf.timeout;
}


/* Whether the first command is on its way still, out of this kernel. */
static int
svc_redis_moves(svc_redis_t *r)
{
    int       n;
    uint64_t  taken;

    if (strncmp(r->conf.addr, "unix:", 5) == 0
        || ioctl(r->fd, SIOCOUTQ, &n) == -1 || n <= 0)
    {
        return 0;
    }

    /* with TLS there is a little more of it than was sent here */

    taken = r->sent > (uint64_t) n ? r->sent - (uint64_t) n : 0;

    if (taken >= r->first->end || taken <= r->taken) {
        return 0;
    }

    r->taken = taken;
    r->moved = svc_now();
    r->first->sent = r->moved;

    return 1;
}


/*
 * All commands have the same time, so the first one's is up first. The timer
 * is not moved with each answer: when it fires it looks at who is first then.
 */
void
svc_redis_expect(svc_redis_t *r)
{
    if (!event_pending(r->timer, EV_TIMEOUT, NULL)) {
        svc_timer(r->timer, svc_redis_deadline(r) - svc_now());
    }
}


static void
svc_redis_timer(evutil_socket_t fd, short what, void *data)
{
    svc_redis_t  *r;

    (void) fd;
    (void) what;

    r = data;

    switch (r->state) {

    case SVC_REDIS_WAITING:
        svc_redis_connect(r);
        return;

    case SVC_REDIS_RESOLVING:
        svc_redis_close(r, "the name was not resolved in time");
        return;

    case SVC_REDIS_CONNECTING:
        metrics_add(svc_redis_metrics.timeouts, 1);
        svc_redis_close(r, "no connection in time");
        return;

    case SVC_REDIS_SECURING:
        metrics_add(svc_redis_metrics.timeouts, 1);
        svc_redis_close(r, "no handshake of TLS in time: is this its port "
                        "for TLS?");
        return;

    default:
        break;
    }

    if (r->first == NULL) {
        return;
    }

    if (svc_redis_deadline(r) > svc_now() || svc_redis_moves(r)) {
        svc_redis_expect(r);
        return;
    }

    metrics_add(svc_redis_metrics.timeouts, 1);
    svc_redis_close(r, "no answer in time");
}


static void
svc_redis_kicked(evutil_socket_t fd, short what, void *data)
{
    svc_redis_t  *r;

    (void) fd;
    (void) what;

    r = data;

    if (r->state == SVC_REDIS_UP || r->state == SVC_REDIS_GREETING) {
        svc_redis_close(r, "connecting again");
    }
}


void
svc_redis_reconnect(svc_redis_t *r)
{
    if (r->state == SVC_REDIS_UP || r->state == SVC_REDIS_GREETING) {
        event_active(r->kick, EV_TIMEOUT, 0);
    }
}


/* ---- up ---- */

static void
svc_redis_open(svc_redis_t *r, int family, const struct sockaddr *sa,
    socklen_t len)
{
    int   one;
    char  why[128];

    one = 1;

    r->state = SVC_REDIS_CONNECTING;

    r->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->fd == -1) {
        goto failed;
    }

    if (family != AF_UNIX) {
        setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(r->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }

    if (connect(r->fd, sa, len) == -1 && errno != EINPROGRESS) {
        goto failed;
    }

    r->reader = svc_redis_reader();
    r->read = event_new(r->base, r->fd, EV_READ | EV_PERSIST,
                        svc_redis_on_read, r);
    r->write = event_new(r->base, r->fd, EV_WRITE, svc_redis_on_write, r);

    if (r->read == NULL || r->write == NULL) {
        abort();
    }

    event_add(r->read, NULL);
    event_add(r->write, NULL);
    svc_timer(r->timer, r->conf.timeout);

    return;

failed:

    snprintf(why, sizeof(why), "connect: %s", strerror(errno));
    svc_redis_close(r, why);
}


static void
svc_redis_next_addr(svc_redis_t *r)
{
    struct addrinfo  *ai;

    ai = r->addr;
    r->addr = ai->ai_next;

    svc_redis_open(r, ai->ai_family, ai->ai_addr, ai->ai_addrlen);
}


static void
svc_redis_resolved(struct addrinfo *list, const char *error, void *data)
{
    char          why[128];
    svc_redis_t  *r;

    r = data;
    r->resolve = NULL;

    event_del(r->timer);

    if (list == NULL) {
        snprintf(why, sizeof(why), "resolve: %s", error);
        svc_redis_close(r, why);
        return;
    }

    r->addrs = list;
    r->addr = list;

    svc_redis_next_addr(r);
}


static void
svc_redis_connect(svc_redis_t *r)
{
    uint16_t            port;
    struct sockaddr_un  un;

    if (strncmp(r->conf.addr, "unix:", 5) == 0) {
        memset(&un, 0, sizeof(un));
        un.sun_family = AF_UNIX;
        strncpy(un.sun_path, r->conf.addr + 5, sizeof(un.sun_path) - 1);

        svc_redis_open(r, AF_UNIX, (struct sockaddr *) &un, sizeof(un));
        return;
    }

    /* the name's other addresses first, then the name again */

    if (r->addr != NULL) {
        svc_redis_next_addr(r);
        return;
    }

    if (r->addrs != NULL) {
        freeaddrinfo(r->addrs);
        r->addrs = NULL;
    }

    r->state = SVC_REDIS_RESOLVING;

    if (conf_addr(r->conf.addr, r->host, sizeof(r->host), &port) != 0) {
        svc_redis_close(r, "not an address");
        return;
    }

    r->resolve = svc_resolve(r->base, r->host, port, svc_redis_resolved, r);

    if (r->resolve == NULL) {
        svc_redis_close(r, "cannot resolve: out of resources");
        return;
    }

    svc_timer(r->timer, r->conf.timeout < 10000 ? 10000 : r->conf.timeout);
}


svc_redis_t *
svc_redis_new(struct event_base *base, const svc_redis_conf_t *conf,
    const svc_redis_events_t *events)
{
    svc_redis_t  *r;

    static pthread_once_t  once = PTHREAD_ONCE_INIT;

    pthread_once(&once, svc_redis_metrics_init);

    r = calloc(1, sizeof(svc_redis_t));
    if (r == NULL) {
        abort();
    }

    r->base = base;
    r->conf = *conf;
    r->fd = -1;
    r->last = &r->first;

    if (events != NULL) {
        svc_redis_watch(r, events);
    }

    r->prefix = svc_redis_name(conf->prefix, "");
    r->life_key = svc_redis_name(conf->prefix, "goim:life");
    r->out = evbuffer_new();
    r->timer = evtimer_new(base, svc_redis_timer, r);
    r->kick = evtimer_new(base, svc_redis_kicked, r);
    r->flush = event_new(base, -1, 0, svc_redis_on_flush, r);

    if (r->out == NULL || r->timer == NULL || r->kick == NULL
        || r->flush == NULL)
    {
        abort();
    }

    svc_redis_start(r, 0);

    return r;
}


void
svc_redis_free(svc_redis_t *r)
{
    if (r->state == SVC_REDIS_UP) {
        metrics_add(svc_redis_metrics.up, -1);
    }

    r->state = SVC_REDIS_WAITING;

    svc_redis_disconnect(r);
    svc_redis_abandon(r);

    if (r->addrs != NULL) {
        freeaddrinfo(r->addrs);
    }

    svc_redis_sweep(r, 1);
    event_free(r->timer);
    event_free(r->kick);
    event_free(r->flush);
    evbuffer_free(r->out);
    free(r->prefix);
    free(r->life_key);
    free(r);
}
