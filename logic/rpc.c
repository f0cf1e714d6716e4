/*
 * RPC for comets: length-prefixed goim.Call in, goim.Reply out. The first
 * call of a connection is Hello. Calls are begun in the order in which they
 * come; all that go to Redis take the thread's one connection, so those of a
 * session keep their order there.
 *
 * A connection that owes too much (calls under way, replies not taken) is
 * not read until it owes less.
 */

#include "canary.h"
#include "nodes.h"
#include "online.h"
#include "read.h"
#include "rooms.h"
#include "rpc.h"
#include "rpc_clock.h"
#include "rpc_secret.h"
#include "session.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/goim_rpc.h"
#include "svc/clock.h"
#include "svc/log.h"

#define LOGIC_RPC_CALLS   16384                 /* under way, a connection */
#define LOGIC_RPC_OUTPUT  (4 * 1024 * 1024)
#define LOGIC_RPC_CANCELS 1024                  /* looked ahead for */
#define LOGIC_RPC_CANCEL  32                    /* bytes, of one, at most */
#define LOGIC_RPC_HELLO   10                    /* s */
#define LOGIC_RPC_BYE     5                     /* s for the last reply */


TAILQ_HEAD(logic_calls_s, logic_call_s);

struct logic_link_s {
    TAILQ_ENTRY(logic_link_s)   entry;
    logic_thread_t             *thread;
    struct bufferevent         *bev;
    struct logic_calls_s        calls;          /* under way */
    size_t                      ncalls;

    logic_rpc_clock_t           clock;

    int64_t                     hello;          /* it has to be here by then */
    uint64_t                    cancels[LOGIC_RPC_CANCELS];
    size_t                      ncancels;       /* in the input */

    char                        peer[NI_MAXHOST + 8];
    log_text_t                  server;     /* for the log */
    unsigned                    greeted:1;
    unsigned                    paused:1;       /* owes too much */
    unsigned                    reading:1;      /* in logic_rpc_read() */
    unsigned                    closing:1;      /* after the last reply */
};


static void logic_rpc_accept(int fd, void *data);
static void logic_rpc_read(struct bufferevent *bev, void *data);
static void logic_rpc_wrote(struct bufferevent *bev, void *data);
static void logic_rpc_event(struct bufferevent *bev, short what, void *data);
static int logic_rpc_late(logic_link_t *link);
static void logic_rpc_error(logic_link_t *link, const char *reason);
static void logic_rpc_look(logic_link_t *link, struct evbuffer *in);
static int logic_rpc_call(logic_link_t *link, const uint8_t *data,
    size_t len);
static void logic_rpc_cancel(logic_call_t *call);
static void logic_rpc_hello(logic_call_t *call);
static void logic_rpc_flow(logic_link_t *link);
static void logic_rpc_close(logic_link_t *link);


int
logic_rpc_start(logic_thread_t *t, char *err, size_t size)
{
    int  fd;

    fd = svc_listen(t->conf->rpc, 1, err, size);
    if (fd == -1) {
        return -1;
    }

    t->rpc = svc_listener_new(t->base, fd, logic_rpc_accept, t);

    if (t->rpc == NULL) {
        snprintf(err, size, "no memory for the RPC server");
        return -1;
    }

    return 0;
}


/* What is under way is answered, then each connection ends. */

void
logic_rpc_drain(logic_thread_t *t)
{
    logic_link_t  *link, *next;

    svc_listener_free(t->rpc);
    t->rpc = NULL;

    for (link = TAILQ_FIRST(&t->links); link != NULL; link = next) {
        next = TAILQ_NEXT(link, entry);

        bufferevent_disable(link->bev, EV_READ);
        logic_rpc_flow(link);
    }
}


void
logic_rpc_stop(logic_thread_t *t)
{
    logic_link_t  *link;

    while ((link = TAILQ_FIRST(&t->links)) != NULL) {
        logic_rpc_close(link);
    }

    if (t->rpc != NULL) {
        svc_listener_free(t->rpc);
    }
}


/* ---- connections ------------------------------------------------------- */

static void
logic_rpc_accept(int fd, void *data)
{
    logic_thread_t  *t = data;

    socklen_t                len;
    logic_link_t            *link;
    struct sockaddr_storage  ss;

    link = calloc(1, sizeof(logic_link_t));
    if (link == NULL) {
        close(fd);
        return;
    }

    link->bev = bufferevent_socket_new(t->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (link->bev == NULL) {
        free(link);
        close(fd);
        return;
    }

    link->thread = t;
    TAILQ_INIT(&link->calls);

    len = sizeof(ss);

    if (getpeername(fd, (struct sockaddr *) &ss, &len) != 0
        || getnameinfo((struct sockaddr *) &ss, len, link->peer,
                       sizeof(link->peer), NULL, 0, NI_NUMERICHOST)
           != 0)
    {
        snprintf(link->peer, sizeof(link->peer), "unknown");
    }

    TAILQ_INSERT_TAIL(&t->links, link, entry);

    metrics_add(logic_m.rpc_connections, 1);
    metrics_add(logic_m.rpc_links, 1);

    link->hello = svc_now() + LOGIC_RPC_HELLO * 1000;
    (void) logic_rpc_late(link);

    bufferevent_setwatermark(link->bev, EV_READ, 0,
                             GOIM_RPC_MAX + GOIM_RPC_HEADER);
    bufferevent_set_max_single_read(link->bev, GOIM_RPC_MAX);
    bufferevent_setcb(link->bev, logic_rpc_read, logic_rpc_wrote,
                      logic_rpc_event, link);
    bufferevent_enable(link->bev, EV_READ | EV_WRITE);
}


static void
logic_rpc_read(struct bufferevent *bev, void *data)
{
    logic_link_t  *link = data;

    int               rc;
    size_t            len, frame_len, used;
    const uint8_t    *p, *frame;
    struct evbuffer  *in;

    if (!link->greeted && !link->closing && logic_rpc_late(link)) {
        return;
    }

    in = bufferevent_get_input(bev);
    link->reading = 1;

    logic_rpc_look(link, in);

    while (!link->paused && !link->closing) {

        len = evbuffer_get_length(in);
        if (len < GOIM_RPC_HEADER) {
            break;
        }

        /* the length first, so that only whole frames are made contiguous */

        p = evbuffer_pullup(in, GOIM_RPC_HEADER);
        rc = goim_rpc_parse(p, GOIM_RPC_HEADER, GOIM_RPC_MAX, &frame,
                            &frame_len, &used);

        if (rc == GOIM_RPC_TOO_LONG) {
            logic_rpc_error(link, "a frame is too long");
            break;
        }

        used = GOIM_RPC_HEADER + ((size_t) p[0] << 24 | (size_t) p[1] << 16
                                  | (size_t) p[2] << 8 | p[3]);

        if (len < used) {
            break;
        }

        p = evbuffer_pullup(in, (ev_ssize_t) used);
        goim_rpc_parse(p, used, GOIM_RPC_MAX, &frame, &frame_len, &used);

        if (logic_rpc_call(link, frame, frame_len) != 0) {
            break;
        }

        evbuffer_drain(in, used);
        logic_rpc_flow(link);
    }

    link->reading = 0;

    if (link->closing) {
        bufferevent_disable(bev, EV_READ);
        logic_rpc_flow(link);
    }
}


/*
 * Who stood still finds logins in the input and, behind them, that nobody
 * waits for them any more.
 */

static void
logic_rpc_look(logic_link_t *link, struct evbuffer *in)
{
    size_t          len, used, frame_len;
    Goim__Call     *msg;
    const uint8_t  *p, *frame;

    link->ncancels = 0;

    len = evbuffer_get_length(in);
    p = evbuffer_pullup(in, -1);

    while (goim_rpc_parse(p, len, GOIM_RPC_MAX, &frame, &frame_len, &used)
           == GOIM_RPC_OK
           && link->ncancels < LOGIC_RPC_CANCELS)
    {
        p += used;
        len -= used;

        msg = frame_len <= LOGIC_RPC_CANCEL
              ? goim__call__unpack(NULL, frame_len, frame) : NULL;

        if (msg == NULL) {
            continue;
        }

        if (msg->call_case == GOIM__CALL__CALL_CANCEL) {
            link->cancels[link->ncancels++] = msg->cancel->id;
        }

        goim__call__free_unpacked(msg, NULL);
    }
}


/*
 * Whether to read on, and whether a draining or closing connection is done.
 * May free the link.
 */

static void
logic_rpc_flow(logic_link_t *link)
{
    int     much;
    size_t  out;

    out = evbuffer_get_length(bufferevent_get_output(link->bev));

    if (link->thread->draining || link->closing) {
        if (out == 0 && !link->reading
            && (link->ncalls == 0 || link->closing))
        {
            logic_rpc_close(link);
        }

        return;
    }

    much = link->ncalls >= LOGIC_RPC_CALLS || out >= LOGIC_RPC_OUTPUT;

    if (much && !link->paused) {
        link->paused = 1;
        bufferevent_disable(link->bev, EV_READ);
        return;
    }

    if (link->paused && link->ncalls < LOGIC_RPC_CALLS / 2
        && out < LOGIC_RPC_OUTPUT / 2)
    {
        link->paused = 0;
        bufferevent_enable(link->bev, EV_READ);

        if (!link->reading) {
            /* whole frames may be waiting in the input */
            bufferevent_trigger(link->bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS
                                | BEV_TRIG_IGNORE_WATERMARKS);
        }
    }
}


static void
logic_rpc_wrote(struct bufferevent *bev, void *data)
{
    (void) bev;

    logic_rpc_flow(data);
}


static void
logic_rpc_event(struct bufferevent *bev, short what, void *data)
{
    logic_link_t  *link = data;

    (void) bev;

    if (link->closing) {
        /* said already */

    } else if ((what & BEV_EVENT_TIMEOUT) && !link->greeted) {
        link->hello = 0;
        (void) logic_rpc_late(link);
        return;

    } else if (what & BEV_EVENT_ERROR) {
        log_write(LOG_INFO, "rpc %s \"%s\": %s", link->peer,
                  link->server.s, evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));

    } else {
        log_write(LOG_INFO, "rpc %s \"%s\": closed", link->peer,
                  link->server.s);
    }

    logic_rpc_close(link);
}


/* The first call has to be whole in its time, however its bytes come.  1: it is
   too late, the link is gone. */

static int
logic_rpc_late(logic_link_t *link)
{
    int64_t         left;
    struct timeval  tv;

    left = link->hello - svc_now();

    if (left <= 0) {
        log_write(LOG_WARN, "rpc %s: no Hello in %d s", link->peer,
                  LOGIC_RPC_HELLO);
        logic_rpc_close(link);
        return 1;
    }

    tv.tv_sec = left / 1000;
    tv.tv_usec = left % 1000 * 1000;
    bufferevent_set_timeouts(link->bev, &tv, NULL);

    return 0;
}


static void
logic_rpc_error(logic_link_t *link, const char *reason)
{
    struct timeval  tv;

    metrics_add(logic_m.rpc_malformed, 1);
    log_write(LOG_ERROR, "rpc %s \"%s\": %s, closing", link->peer,
              link->server.s, reason);

    link->closing = 1;

    tv.tv_sec = LOGIC_RPC_BYE;
    tv.tv_usec = 0;
    bufferevent_set_timeouts(link->bev, NULL, &tv);
}


static void
logic_rpc_close(logic_link_t *link)
{
    logic_call_t  *call;

    while ((call = TAILQ_FIRST(&link->calls)) != NULL) {
        TAILQ_REMOVE(&link->calls, call, entry);
        call->link = NULL;
    }

    TAILQ_REMOVE(&link->thread->links, link, entry);
    metrics_add(logic_m.rpc_links, -1);

    bufferevent_free(link->bev);
    free(link);
}


/* ---- calls ------------------------------------------------------------- */

/* -1: the connection is closing */

static int
logic_rpc_call(logic_link_t *link, const uint8_t *data, size_t len)
{
    size_t         i;
    Goim__Call    *msg;
    logic_call_t  *call;

    msg = goim__call__unpack(NULL, len, data);
    if (msg == NULL) {
        logic_rpc_error(link, "a frame is no call");
        return -1;
    }

    call = calloc(1, sizeof(logic_call_t));
    if (call == NULL) {
        goim__call__free_unpacked(msg, NULL);
        logic_rpc_error(link, "no memory");
        return -1;
    }

    call->thread = link->thread;
    call->link = link;
    call->msg = msg;
    call->deadline = logic_rpc_clock_deadline(&link->clock, msg->sent,
                                              msg->budget);

    for (i = 0; i < link->ncancels && !call->cancelled; i++) {
        call->cancelled = msg->id == link->cancels[i];
    }

    TAILQ_INSERT_TAIL(&link->calls, call, entry);
    link->ncalls++;

    metrics_add(logic_m.rpc_calls, 1);

    if (!link->greeted && msg->call_case != GOIM__CALL__CALL_HELLO) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED,
                         "the first call must be Hello");
        logic_rpc_error(link, "the first call is not Hello");
        return -1;
    }

    if (call->deadline <= svc_now()) {
        metrics_add(logic_m.late, 1);
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "too late");
        return 0;
    }

    switch (msg->call_case) {

    case GOIM__CALL__CALL_HELLO:
        logic_rpc_hello(call);
        break;

    case GOIM__CALL__CALL_CONNECT:
        logic_auth_call(call);
        break;

    case GOIM__CALL__CALL_DISCONNECT:
        logic_disconnect_call(call);
        break;

    case GOIM__CALL__CALL_HEARTBEAT:
        logic_heartbeat_call(call);
        break;

    case GOIM__CALL__CALL_RECEIVE:
        logic_receive_call(call);
        break;

    case GOIM__CALL__CALL_REGISTER:
        logic_register_call(call);
        break;

    case GOIM__CALL__CALL_DEREGISTER:
        logic_deregister_call(call);
        break;

    case GOIM__CALL__CALL_ONLINE:
        logic_online_call(call);
        break;

    case GOIM__CALL__CALL_MISSING:
        logic_missing_call(call);
        break;

    case GOIM__CALL__CALL_RENEW:
        logic_renew_call(call);
        break;

    case GOIM__CALL__CALL_ENDED:
        logic_ended_call(call);
        break;

    case GOIM__CALL__CALL_ANNOUNCED:
        logic_announced_call(call);
        break;

    case GOIM__CALL__CALL_ROOMS:
        logic_rooms_call(call);
        break;

    case GOIM__CALL__CALL_CANARIES:
        logic_canary_call(call);
        break;

    case GOIM__CALL__CALL_READ:
        logic_read_call(call);
        break;

    case GOIM__CALL__CALL_HEADS:
        logic_heads_call(call);
        break;

    case GOIM__CALL__CALL_SEEN:
        logic_seen_call(call);
        break;

    case GOIM__CALL__CALL_CANCEL:
        logic_rpc_cancel(call);
        break;

    default:
        /* perhaps a newer comet's */
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "unknown call");
        break;
    }

    return 0;
}


/* one that waits for the application, perhaps */

static void
logic_rpc_cancel(logic_call_t *call)
{
    logic_call_t  *c;
    logic_link_t  *link;

    link = call->link;

    TAILQ_FOREACH(c, &link->calls, entry) {
        if (c != call && c->msg->id == call->msg->cancel->id) {
            c->cancelled = 1;
            break;
        }
    }

    TAILQ_REMOVE(&link->calls, call, entry);
    link->ncalls--;

    goim__call__free_unpacked(call->msg, NULL);
    free(call);
}


/* The end of a connection can be known before what came on it was read. */

int
logic_rpc_gone(const logic_call_t *call)
{
    struct pollfd  p;

    if (call->link == NULL || call->cancelled
        || call->deadline <= svc_now())
    {
        metrics_add(logic_m.late, 1);
        return 1;
    }

    p.fd = bufferevent_getfd(call->link->bev);
    p.events = POLLRDHUP;
    p.revents = 0;

    if (poll(&p, 1, 0) != 1
        || (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0)
    {
        return 0;
    }

    metrics_add(logic_m.late, 1);

    return 1;
}


int
logic_rpc_full(const logic_call_t *call)
{
    return call->link != NULL
           && evbuffer_get_length(bufferevent_get_output(call->link->bev))
              >= LOGIC_RPC_OUTPUT;
}


static void
logic_rpc_hello(logic_call_t *call)
{
    const char      *why;
    log_text_t       zone, version;
    Goim__Hello     *hello;
    logic_link_t    *link;
    struct timeval   none;

    link = call->link;
    hello = call->msg->hello;

    if (!logic_zone_valid(hello->server, hello->zone)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED,
                         "Hello: server or zone");
        logic_rpc_error(link, "Hello without a valid server and zone");
        return;
    }

    log_text(&link->server, hello->server);

    why = logic_rpc_secret_wrong(link->thread->conf, hello->secret.data,
                                 hello->secret.len);

    if (why != NULL) {
        metrics_add(logic_m.rpc_denied, 1);
        logic_reply_code(call, GOIM__REPLY__CODE__DENIED, why);
        logic_rpc_error(link, why);
        return;
    }

    if (!link->greeted) {
        log_write(LOG_INFO, "rpc %s: comet \"%s\" zone %s version %s",
                  link->peer, link->server.s, log_text(&zone, hello->zone),
                  log_text(&version, hello->version));
    }

    link->greeted = 1;

    timerclear(&none);
    bufferevent_set_timeouts(link->bev, &none, &none);

    logic_reply_ok(call);
}


void
logic_reply_ok(logic_call_t *call)
{
    Goim__Reply  reply = GOIM__REPLY__INIT;

    logic_reply(call, &reply);
}


void
logic_reply_code(logic_call_t *call, Goim__Reply__Code code,
    const char *error)
{
    Goim__Reply  reply = GOIM__REPLY__INIT;

    reply.code = code;
    reply.error = (char *) error;

    if (code == GOIM__REPLY__CODE__FAILED) {
        metrics_add(logic_m.rpc_failed, 1);

    } else if (code == GOIM__REPLY__CODE__MALFORMED) {
        static log_once_t  once;

        metrics_add(logic_m.rpc_malformed, 1);
        log_seldom(&once, LOG_ERROR, "rpc: malformed call: %s", error);
    }

    logic_reply(call, &reply);
}


void
logic_reply(logic_call_t *call, Goim__Reply *reply)
{
    size_t                  len;
    uint8_t                *p;
    logic_link_t           *link;
    struct evbuffer        *out;
    struct evbuffer_iovec   vec;

    link = call->link;

    if (link != NULL) {
        TAILQ_REMOVE(&link->calls, call, entry);
        link->ncalls--;

        reply->id = call->msg->id;
        len = goim__reply__get_packed_size(reply);
        out = bufferevent_get_output(link->bev);

        if (evbuffer_reserve_space(out,
                                   (ev_ssize_t) (GOIM_RPC_HEADER + len),
                                   &vec, 1)
            < 1)
        {
            abort();
        }

        p = vec.iov_base;
        goim_rpc_header(p, len);
        goim__reply__pack(reply, p + GOIM_RPC_HEADER);

        vec.iov_len = GOIM_RPC_HEADER + len;
        evbuffer_commit_space(out, &vec, 1);

    } else {
        metrics_add(logic_m.rpc_unanswered, 1);
    }

    goim__call__free_unpacked(call->msg, NULL);
    free(call);

    if (link != NULL && !link->reading) {
        logic_rpc_flow(link);
    }
}


/* As they may stand in keys and in "<server>/<zone>/<session>". */

int
logic_zone_valid(const char *server, const char *zone)
{
    size_t         n;
    const uint8_t  *p;

    n = 0;

    for (p = (const uint8_t *) server; *p != '\0'; p++, n++) {
        if (*p <= ' ' || *p == 0x7f || n == GOIM_SERVER_MAX) {
            return 0;
        }
    }

    if (n == 0) {
        return 0;
    }

    n = 0;

    for (p = (const uint8_t *) zone; *p != '\0'; p++, n++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '/' || n == GOIM_ZONE_MAX) {
            return 0;
        }
    }

    return n > 0;
}
