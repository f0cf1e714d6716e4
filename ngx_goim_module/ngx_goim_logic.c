/*
 * RPC to logic: one connection a worker and logic instance, many calls on it
 * at a time.  A call is serialised where it is made and known by its id; the
 * low bits of the id are its place in the table, the others tell it from the
 * calls that had this place before.
 *
 * A call has logic_timeout from when it is given to the socket, and says so to
 * logic.  What the socket does not take waits here, for no longer than that,
 * and is never sent when it has waited in vain.
 */

#include "ngx_goim_frames.h"
#include "ngx_goim_link.h"
#include "ngx_goim_logic.h"
#include "ngx_goim_stats.h"
#include "common/goim_rpc.h"
#include "proto/goim.pb-c.h"


#define NGX_GOIM_LOGIC_CHUNK    256     /* calls */
#define NGX_GOIM_LOGIC_CHUNKS   256
#define NGX_GOIM_LOGIC_SLOTS    16      /* bits of an id */

#define NGX_GOIM_LOGIC_WINDOW   (64 * 1024)     /* given to the socket */
#define NGX_GOIM_LOGIC_WAITING  (4 * 1024 * 1024)

/* tags and varints of a call's `sent` and `budget` */
#define NGX_GOIM_LOGIC_STAMP    (2 + 10 + 2 + 5)


typedef struct {
    ngx_goim_link_t         link;
    ngx_queue_t             calls;      /* sent; oldest first, as all have
                                           the same time */
    ngx_queue_t             waiting;    /* not sent yet; oldest first */
    size_t                  size;       /* of these */
    ngx_event_t             timer;
    ngx_msec_t              heard;      /* when bytes came last */

    ngx_goim_frames_t       in;

    unsigned                refused:1;  /* Hello */
} ngx_goim_logic_t;


struct ngx_goim_call_s {
    ngx_queue_t             queue;      /* free, in a link, or failed */
    uint64_t                id;         /* 0: free */
    ngx_uint_t              slot;
    ngx_goim_logic_t       *logic;      /* NULL: failed */
    ngx_goim_logic_pt       cb;
    void                   *data;
    ngx_msec_t              since;      /* sent; or waiting, with a frame */

    u_char                 *frame;      /* without the time */
    size_t                  len;
};


typedef struct {
    ngx_goim_conf_t        *conf;
    const u_char           *zone_id;

    ngx_goim_logic_t       *logics;
    ngx_uint_t              nlogics;
    ngx_uint_t              next;       /* round robin */

    ngx_goim_call_t        *chunks[NGX_GOIM_LOGIC_CHUNKS];
    ngx_uint_t              nchunks;
    ngx_queue_t             free;
    ngx_queue_t             failed;     /* their callbacks are due */
    ngx_event_t             fail;
    uint64_t                serial;

    ngx_msec_t              started;
    ngx_uint_t              been_up;    /* one was */
} ngx_goim_logic_table_t;


static ngx_int_t ngx_goim_logic_opened(ngx_goim_link_t *l);
static void ngx_goim_logic_hello_handler(void *data,
    const Goim__Reply *reply);
static ngx_int_t ngx_goim_logic_input(ngx_goim_link_t *l, u_char *data,
    size_t len);
static ngx_int_t ngx_goim_logic_reply(void *data, const u_char *frame,
    size_t len);
static void ngx_goim_logic_closed(ngx_goim_link_t *l);
static void ngx_goim_logic_timer_handler(ngx_event_t *ev);
static ngx_int_t ngx_goim_logic_expire(ngx_goim_logic_t *logic,
    ngx_queue_t *calls, ngx_msec_t *next);
static void ngx_goim_logic_fail(ngx_goim_call_t *c);
static void ngx_goim_logic_fail_handler(ngx_event_t *ev);

static ngx_goim_call_t *ngx_goim_logic_send(ngx_goim_logic_t *logic,
    Goim__Call *call, ngx_goim_logic_pt cb, void *data);
static ngx_int_t ngx_goim_logic_write(ngx_goim_logic_t *logic,
    ngx_goim_call_t *c, const Goim__Call *call);
static ngx_int_t ngx_goim_logic_wait(ngx_goim_logic_t *logic,
    ngx_goim_call_t *c, const Goim__Call *call);
static void ngx_goim_logic_taken(ngx_goim_link_t *l);
static void ngx_goim_logic_unqueue(ngx_goim_call_t *c);
static ngx_goim_call_t *ngx_goim_logic_get_call(void);
static ngx_goim_call_t *ngx_goim_logic_find_call(uint64_t id);
static void ngx_goim_logic_free_call(ngx_goim_call_t *call);


static const ngx_goim_link_ops_t  ngx_goim_logic_ops = {
    "logic",
    ngx_goim_logic_opened,
    ngx_goim_logic_input,
    ngx_goim_logic_taken,
    ngx_goim_logic_closed,
    -1,
    NULL
};


static ngx_goim_logic_table_t  ngx_goim_logic;      /* this worker's */


ngx_int_t
ngx_goim_logic_init(ngx_goim_conf_t *gcf, const u_char *zone_id)
{
    ngx_uint_t               i;
    ngx_goim_peer_t         *peers;
    ngx_goim_logic_t        *logic;
    ngx_goim_logic_table_t  *t;

    t = &ngx_goim_logic;

    ngx_memzero(t, sizeof(ngx_goim_logic_table_t));

    ngx_queue_init(&t->free);
    ngx_queue_init(&t->failed);

    t->conf = gcf;
    t->zone_id = zone_id;

    t->fail.handler = ngx_goim_logic_fail_handler;
    t->fail.log = ngx_cycle->log;

    if (gcf->logic.nelts == 0) {
        return NGX_OK;
    }

    t->logics = ngx_pcalloc(ngx_cycle->pool,
                            gcf->logic.nelts * sizeof(ngx_goim_logic_t));
    if (t->logics == NULL) {
        return NGX_ERROR;
    }

    t->nlogics = gcf->logic.nelts;
    t->started = ngx_current_msec;
    t->next = ngx_random() % t->nlogics;
    t->fail.data = t->logics;

    peers = gcf->logic.elts;

    for (i = 0; i < t->nlogics; i++) {
        logic = &t->logics[i];

        ngx_queue_init(&logic->calls);
        ngx_queue_init(&logic->waiting);

        logic->timer.handler = ngx_goim_logic_timer_handler;
        logic->timer.data = logic;
        logic->timer.log = ngx_cycle->log;
        logic->timer.cancelable = 1;

        ngx_goim_link_init(&logic->link, gcf, &peers[i], gcf->logic_timeout,
                           &ngx_goim_logic_ops, logic);
        ngx_goim_link_start(&logic->link);
    }

    return NGX_OK;
}


ngx_goim_call_t *
ngx_goim_logic_call(Goim__Call *call, ngx_uint_t *peer, ngx_goim_logic_pt cb,
    void *data)
{
    ngx_uint_t               i, n;
    ngx_goim_call_t         *c;
    ngx_goim_logic_table_t  *t;

    t = &ngx_goim_logic;

    ngx_goim_count(logic_calls, 1);

    if (*peer < t->nlogics) {
        c = ngx_goim_logic_send(&t->logics[*peer], call, cb, data);

        if (c) {
            return c;
        }
    }

    for (i = 0; i < t->nlogics; i++) {
        n = (t->next + i) % t->nlogics;

        if (n == *peer) {
            continue;
        }

        c = ngx_goim_logic_send(&t->logics[n], call, cb, data);

        if (c) {
            *peer = n;
            t->next = (n + 1) % t->nlogics;
            return c;
        }
    }

    ngx_goim_count(logic_failed, 1);

    return NULL;
}


void
ngx_goim_logic_abandon(ngx_goim_call_t *c)
{
    size_t        len;
    u_char       *p;
    Goim__Call    call;
    Goim__Cancel  cancel;

    if (c->logic == NULL || !c->logic->link.up) {
        return;
    }

    if (c->frame) {
        ngx_goim_logic_fail(c);
        return;
    }

    /* on the same link, so that it is found there; without an id: no answer */

    goim__call__init(&call);
    goim__cancel__init(&cancel);

    call.call_case = GOIM__CALL__CALL_CANCEL;
    call.cancel = &cancel;
    cancel.id = c->id;

    len = goim__call__get_packed_size(&call);
    p = ngx_goim_link_reserve(&c->logic->link, GOIM_RPC_HEADER + len);

    if (p) {
        goim_rpc_header(p, len);
        (void) goim__call__pack(&call, p + GOIM_RPC_HEADER);

        ngx_goim_link_commit(&c->logic->link, GOIM_RPC_HEADER + len);
    }
}


void
ngx_goim_logic_cancel(ngx_goim_call_t *call)
{

    ngx_goim_logic_free_call(call);
}


ngx_uint_t
ngx_goim_logic_up(void)
{
    ngx_uint_t  i, n;

    for (i = 0, n = 0; i < ngx_goim_logic.nlogics; i++) {
        n += ngx_goim_logic.logics[i].link.up;
    }

    return n;
}


ngx_uint_t
ngx_goim_logic_starting(void)
{
    ngx_goim_logic_table_t  *t;

    t = &ngx_goim_logic;

    return t->nlogics && !t->been_up
           && ngx_current_msec - t->started < t->conf->logic_timeout;
}


void
ngx_goim_logic_close(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_goim_logic.nlogics; i++) {
        ngx_goim_link_stop(&ngx_goim_logic.logics[i].link);
    }
}


static ngx_goim_call_t *
ngx_goim_logic_send(ngx_goim_logic_t *logic, Goim__Call *call,
    ngx_goim_logic_pt cb, void *data)
{
    ngx_int_t         rc;
    ngx_goim_call_t  *c;

    if (!logic->link.up && cb != ngx_goim_logic_hello_handler) {
        return NULL;
    }

    c = ngx_goim_logic_get_call();
    if (c == NULL) {
        return NULL;
    }

    call->id = c->id;

    c->logic = logic;
    c->cb = cb;
    c->data = data;
    c->len = goim__call__get_packed_size(call);

    if (c->len > GOIM_RPC_MAX - NGX_GOIM_LOGIC_STAMP) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "logic: a call of %uz bytes is too long", c->len);
        ngx_goim_logic_free_call(c);
        return NULL;
    }

    rc = ngx_queue_empty(&logic->waiting)
         && ngx_goim_link_pending(&logic->link) < NGX_GOIM_LOGIC_WINDOW
             ? ngx_goim_logic_write(logic, c, call)
             : ngx_goim_logic_wait(logic, c, call);

    if (rc != NGX_OK) {
        ngx_goim_logic_free_call(c);
        return NULL;
    }

    if (!logic->timer.timer_set) {
        ngx_add_timer(&logic->timer, ngx_goim_logic.conf->logic_timeout);
    }

    return c;
}


/*
 * To the socket, with the time; from the call, or from the frame that was
 * made of it.  Fields of a message may come in any order, so the time follows.
 */

static ngx_int_t
ngx_goim_logic_write(ngx_goim_logic_t *logic, ngx_goim_call_t *c,
    const Goim__Call *call)
{
    size_t       len;
    u_char      *p;
    Goim__Call   stamp;

    goim__call__init(&stamp);

    stamp.sent = ngx_current_msec;
    stamp.budget = ngx_goim_logic.conf->logic_timeout;

    len = c->len + goim__call__get_packed_size(&stamp);

    p = ngx_goim_link_reserve(&logic->link, GOIM_RPC_HEADER + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    goim_rpc_header(p, len);
    p += GOIM_RPC_HEADER;

    if (c->frame) {
        ngx_memcpy(p, c->frame, c->len);

    } else {
        (void) goim__call__pack(call, p);
    }

    (void) goim__call__pack(&stamp, p + c->len);

    ngx_goim_link_commit(&logic->link, GOIM_RPC_HEADER + len);

    ngx_goim_logic_unqueue(c);

    c->since = ngx_current_msec;
    ngx_queue_insert_tail(&logic->calls, &c->queue);

    return NGX_OK;
}


static ngx_int_t
ngx_goim_logic_wait(ngx_goim_logic_t *logic, ngx_goim_call_t *c,
    const Goim__Call *call)
{

    if (c->len > NGX_GOIM_LOGIC_WAITING - logic->size) {
        return NGX_ERROR;
    }

    c->frame = ngx_alloc(c->len, ngx_cycle->log);
    if (c->frame == NULL) {
        return NGX_ERROR;
    }

    (void) goim__call__pack(call, c->frame);
    logic->size += c->len;

    c->since = ngx_current_msec;
    ngx_queue_insert_tail(&logic->waiting, &c->queue);

    return NGX_OK;
}


/* the socket took some: those that wait are next */

static void
ngx_goim_logic_taken(ngx_goim_link_t *l)
{
    ngx_queue_t       *q;
    ngx_goim_call_t   *c;
    ngx_goim_logic_t  *logic;

    logic = l->data;

    while (!ngx_queue_empty(&logic->waiting)
           && ngx_goim_link_pending(l) < NGX_GOIM_LOGIC_WINDOW)
    {
        q = ngx_queue_head(&logic->waiting);
        c = ngx_queue_data(q, ngx_goim_call_t, queue);

        if (ngx_goim_logic_write(logic, c, NULL) != NGX_OK) {
            return;
        }
    }
}


static void
ngx_goim_logic_timer_handler(ngx_event_t *ev)
{
    ngx_msec_t         next;
    ngx_goim_logic_t  *logic;

    logic = ev->data;
    next = 0;

    if (ngx_goim_logic_expire(logic, &logic->calls, &next) != NGX_OK
        || ngx_goim_logic_expire(logic, &logic->waiting, &next) != NGX_OK)
    {
        (void) ngx_goim_link_error(&logic->link, 0, "no answer within %M ms",
                                   ngx_goim_logic.conf->logic_timeout);
        ngx_goim_link_drop(&logic->link);
        return;
    }

    if (next) {
        ngx_add_timer(ev, next);
    }
}


/*
 * Those whose time is up fail; when the next one's is: *next, if sooner.
 * NGX_ERROR: logic said nothing at all since such a call: it hangs or is out
 * of reach.  Without the link, calls go to another one at once.
 */

static ngx_int_t
ngx_goim_logic_expire(ngx_goim_logic_t *logic, ngx_queue_t *calls,
    ngx_msec_t *next)
{
    ngx_queue_t      *q;
    ngx_msec_int_t    left;
    ngx_goim_call_t  *c;

    while (!ngx_queue_empty(calls)) {

        q = ngx_queue_head(calls);
        c = ngx_queue_data(q, ngx_goim_call_t, queue);

        left = (ngx_msec_int_t) (c->since - ngx_current_msec)
               + (ngx_msec_int_t) ngx_goim_logic.conf->logic_timeout;

        if (left > 0) {
            *next = *next ? ngx_min(*next, (ngx_msec_t) left)
                          : (ngx_msec_t) left;
            break;
        }

        if (!logic->link.up
            || (ngx_msec_int_t) (logic->heard - c->since) < 0)
        {
            return NGX_ERROR;
        }

        ngx_goim_logic_fail(c);
    }

    return NGX_OK;
}


/* its callback comes by an event */

static void
ngx_goim_logic_fail(ngx_goim_call_t *c)
{
    ngx_goim_logic_unqueue(c);

    c->logic = NULL;
    ngx_queue_insert_tail(&ngx_goim_logic.failed, &c->queue);

    ngx_post_event(&ngx_goim_logic.fail, &ngx_posted_events);
}


static void
ngx_goim_logic_fail_handler(ngx_event_t *ev)
{
    void               *data;
    ngx_queue_t        *q;
    ngx_goim_call_t    *c;
    ngx_goim_logic_pt   cb;

    while (!ngx_queue_empty(&ngx_goim_logic.failed)) {

        q = ngx_queue_head(&ngx_goim_logic.failed);
        c = ngx_queue_data(q, ngx_goim_call_t, queue);

        cb = c->cb;
        data = c->data;

        ngx_goim_logic_free_call(c);

        ngx_goim_count(logic_failed, 1);

        cb(data, NULL);
    }
}


static ngx_int_t
ngx_goim_logic_opened(ngx_goim_link_t *l)
{
    Goim__Call         call;
    Goim__Hello        hello;
    ngx_goim_logic_t  *logic;
    u_char             server[NGX_MAXHOSTNAMELEN + 1];

    logic = l->data;

    logic->refused = 0;
    logic->heard = ngx_current_msec;

    goim__call__init(&call);
    goim__hello__init(&hello);

    (void) ngx_cpystrn(server, ngx_goim_logic.conf->server_id.data,
                       ngx_min(ngx_goim_logic.conf->server_id.len + 1,
                               sizeof(server)));

    hello.server = (char *) server;
    hello.zone = (char *) ngx_goim_logic.zone_id;
    hello.version = (char *) NGX_GOIM_VERSION;
    hello.secret.data = ngx_goim_logic.conf->logic_secret.data;
    hello.secret.len = ngx_goim_logic.conf->logic_secret.len;

    call.call_case = GOIM__CALL__CALL_HELLO;
    call.hello = &hello;

    if (ngx_goim_logic_send(logic, &call, ngx_goim_logic_hello_handler, logic)
        == NULL)
    {
        return ngx_goim_link_error(l, 0, "no memory");
    }

    return NGX_OK;
}


static void
ngx_goim_logic_hello_handler(void *data, const Goim__Reply *reply)
{
    ngx_goim_logic_t  *logic = data;

    if (reply->code != GOIM__REPLY__CODE__OK) {
        logic->refused = 1;
        (void) ngx_goim_link_error(&logic->link, 0,
                                   "Hello was refused, code %d: \"%s\"",
                                   (int) reply->code, reply->error);
        return;
    }

    ngx_goim_logic.been_up = 1;
    ngx_goim_link_up(&logic->link);
}


static ngx_int_t
ngx_goim_logic_input(ngx_goim_link_t *l, u_char *data, size_t len)
{
    ngx_int_t          rc;
    ngx_goim_logic_t  *logic;

    logic = l->data;

    logic->heard = ngx_current_msec;

    rc = ngx_goim_frames_input(&logic->in, data, len, ngx_goim_logic_reply,
                               logic);

    switch (rc) {

    case NGX_OK:
    case NGX_DONE:
        return NGX_OK;

    case NGX_DECLINED:
        return ngx_goim_link_error(l, 0, "reply of over %d bytes",
                                   GOIM_REPLY_MAX);

    case NGX_ABORT:
        return NGX_ERROR;

    default:    /* NGX_ERROR */
        return ngx_goim_link_error(l, 0, "no memory");
    }
}


/* NGX_DONE: the link is gone, NGX_ABORT: it is to be dropped, and was told */

static ngx_int_t
ngx_goim_logic_reply(void *data, const u_char *frame, size_t len)
{
    Goim__Reply        *reply;
    ngx_goim_call_t    *c;
    ngx_goim_logic_t   *logic;
    ngx_goim_logic_pt   cb;

    logic = data;

    reply = goim__reply__unpack(NULL, len, frame);

    if (reply == NULL) {
        (void) ngx_goim_link_error(&logic->link, 0,
                                   "malformed reply of %uz bytes", len);
        return NGX_ABORT;
    }

    c = ngx_goim_logic_find_call(reply->id);

    /* else late or cancelled */

    if (c && c->logic == logic) {
        cb = c->cb;
        data = c->data;

        ngx_goim_logic_free_call(c);

        cb(data, reply);
    }

    goim__reply__free_unpacked(reply, NULL);

    if (logic->link.connection == NULL) {
        return NGX_DONE;
    }

    return logic->refused ? NGX_ABORT : NGX_OK;
}


static void
ngx_goim_logic_closed(ngx_goim_link_t *l)
{
    ngx_queue_t       *q;
    ngx_goim_call_t   *c;
    ngx_goim_logic_t  *logic;

    logic = l->data;

    if (logic->timer.timer_set) {
        ngx_del_timer(&logic->timer);
    }

    ngx_goim_frames_free(&logic->in);

    ngx_queue_add(&logic->calls, &logic->waiting);
    ngx_queue_init(&logic->waiting);

    while (!ngx_queue_empty(&logic->calls)) {

        q = ngx_queue_head(&logic->calls);
        c = ngx_queue_data(q, ngx_goim_call_t, queue);

        if (c->cb == ngx_goim_logic_hello_handler) {
            ngx_goim_logic_free_call(c);

        } else {
            ngx_goim_logic_fail(c);
        }
    }
}


static ngx_goim_call_t *
ngx_goim_logic_get_call(void)
{
    ngx_uint_t               i;
    ngx_queue_t             *q;
    ngx_goim_call_t         *c;
    ngx_goim_logic_table_t  *t;

    t = &ngx_goim_logic;

    if (ngx_queue_empty(&t->free)) {

        if (t->nchunks == NGX_GOIM_LOGIC_CHUNKS) {
            return NULL;
        }

        c = ngx_pcalloc(ngx_cycle->pool,
                        NGX_GOIM_LOGIC_CHUNK * sizeof(ngx_goim_call_t));
        if (c == NULL) {
            return NULL;
        }

        for (i = 0; i < NGX_GOIM_LOGIC_CHUNK; i++) {
            c[i].slot = t->nchunks * NGX_GOIM_LOGIC_CHUNK + i;
            ngx_queue_insert_tail(&t->free, &c[i].queue);
        }

        t->chunks[t->nchunks++] = c;
    }

    q = ngx_queue_head(&t->free);
    ngx_queue_remove(q);

    c = ngx_queue_data(q, ngx_goim_call_t, queue);
    ngx_queue_init(&c->queue);

    c->id = ++t->serial << NGX_GOIM_LOGIC_SLOTS | c->slot;

    return c;
}


static ngx_goim_call_t *
ngx_goim_logic_find_call(uint64_t id)
{
    ngx_uint_t        slot;
    ngx_goim_call_t  *c;

    slot = id & ((1 << NGX_GOIM_LOGIC_SLOTS) - 1);

    if (slot >= ngx_goim_logic.nchunks * NGX_GOIM_LOGIC_CHUNK) {
        return NULL;
    }

    c = &ngx_goim_logic.chunks[slot / NGX_GOIM_LOGIC_CHUNK]
                              [slot % NGX_GOIM_LOGIC_CHUNK];

    return (id && c->id == id) ? c : NULL;
}


static void
ngx_goim_logic_unqueue(ngx_goim_call_t *c)
{
    ngx_queue_remove(&c->queue);

    if (c->frame) {
        ngx_free(c->frame);
        c->frame = NULL;
        c->logic->size -= c->len;
    }
}


/* takes it out of the queue it is in */

static void
ngx_goim_logic_free_call(ngx_goim_call_t *c)
{
    ngx_goim_logic_unqueue(c);
    ngx_queue_insert_head(&ngx_goim_logic.free, &c->queue);

    c->id = 0;
    c->logic = NULL;
}
