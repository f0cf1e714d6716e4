
/*
 * Telling logic that sessions are gone, many a call.  What it did not
 * acknowledge is told again, since a mapping that stays would draw pushes to
 * nobody.
 *
 * A session's end goes to the logic that has its renewals, so that these are
 * not done after it.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_ENDS_BYTES     16384
#define NGX_GOIM_ENDS_BATCHES   4096        /* waiting; beyond, they expire in
                                               Redis */
#define NGX_GOIM_ENDS_CALLS     8           /* under way */
#define NGX_GOIM_ENDS_REST      500         /* ms, after one that failed */


typedef struct {
    int64_t                 mid;
    uint64_t                id;
    uint64_t                acked;
    uint32_t                len;        /* of the key, */
    uint32_t                word;       /* and of the epoch behind it, and a
                                           zero byte */
    u_char                  key[1];
} ngx_goim_end_t;


typedef struct {
    ngx_queue_t             queue;
    ngx_uint_t              peer;
    ngx_uint_t              n;
    size_t                  used;
    u_char                  data[NGX_GOIM_ENDS_BYTES];
} ngx_goim_ends_t;


/* takes steps along the ends of a batch */
#define ngx_goim_ends_next(e)                                                \
    ((ngx_goim_end_t *) ((u_char *) (e) + ngx_goim_end_size((e)->len + (e)->word)))

#define ngx_goim_end_size(len)                                               \
    ngx_align(offsetof(ngx_goim_end_t, key) + (len), 8)


static void ngx_goim_disconnect_add(int64_t mid, const u_char *key,
    size_t len, uint64_t id, ngx_uint_t peer, const ngx_goim_acked_t *acked);
static ngx_goim_ends_t *ngx_goim_ends_open(ngx_uint_t peer, size_t size);
static void ngx_goim_ends_flush_handler(ngx_event_t *ev);
static ngx_uint_t ngx_goim_ends_may_send(void);
static ngx_int_t ngx_goim_ends_send(ngx_goim_ends_t *b);
static void ngx_goim_ends_reply(void *data, const Goim__Reply *reply);
static void ngx_goim_ends_trace(ngx_goim_ends_t *b, const char *step);


static ngx_queue_t        ngx_goim_ends_ready;
static ngx_goim_ends_t  **ngx_goim_ends_filling;    /* by peer, and any */
static ngx_uint_t         ngx_goim_ends_batches;    /* those under way, too */
static ngx_uint_t         ngx_goim_ends_calls;
static ngx_uint_t         ngx_goim_ends_pending;
static ngx_msec_t         ngx_goim_ends_rest;       /* until then */
static ngx_msec_t         ngx_goim_ends_heard;
static ngx_event_t        ngx_goim_ends_flush;


ngx_int_t
ngx_goim_disconnect_init(void)
{
    ngx_queue_init(&ngx_goim_ends_ready);

    ngx_goim_ends_rest = ngx_current_msec;

    ngx_goim_ends_flush.handler = ngx_goim_ends_flush_handler;
    ngx_goim_ends_flush.log = ngx_cycle->log;
    ngx_goim_ends_flush.data = &ngx_goim_no_connection;

    ngx_goim_ends_filling = ngx_pcalloc(ngx_cycle->pool,
                                        (ngx_goim_conf->logic.nelts + 1)
                                        * sizeof(ngx_goim_ends_t *));

    return ngx_goim_ends_filling ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_goim_disconnect_pending(void)
{
    return ngx_goim_ends_pending;
}


ngx_msec_t
ngx_goim_disconnect_heard(void)
{
    return ngx_goim_ends_heard;
}


void
ngx_goim_disconnect(ngx_goim_session_t *s, const ngx_goim_acked_t *acked)
{
    ngx_goim_disconnect_add(s->mid, s->key.data, s->key.len, s->id, s->peer,
                            acked);
}


void
ngx_goim_disconnect_id(const Goim__Connected *in, uint64_t id,
    ngx_uint_t peer)
{
    static const ngx_goim_acked_t  none;

    ngx_goim_disconnect_add(in->mid, in->key.data, in->key.len, id, peer,
                            &none);
}


static void
ngx_goim_disconnect_add(int64_t mid, const u_char *key, size_t len,
    uint64_t id, ngx_uint_t peer, const ngx_goim_acked_t *acked)
{
    size_t            size, word;
    ngx_goim_end_t   *e;
    ngx_goim_ends_t  *b;

    /* no longer than logic would take: it would refuse the others, too */

    if (len == 0 || len > GOIM_KEY_MAX) {
        ngx_goim_count(ends_dropped, 1);
        return;
    }

    word = ngx_strlen(acked->epoch) + 1;
    size = ngx_goim_end_size(len + word);
    b = ngx_goim_ends_open(ngx_min(peer, ngx_goim_conf->logic.nelts), size);

    if (b == NULL) {
        ngx_goim_count(ends_dropped, 1);
        return;
    }

    e = (ngx_goim_end_t *) (b->data + b->used);
    e->mid = mid;
    e->id = id;
    e->acked = acked->seq;
    e->len = len;
    e->word = word;
    ngx_memcpy(ngx_cpymem(e->key, key, len), acked->epoch, word);

    b->used += size;
    b->n++;

    ngx_goim_ends_pending++;

    if (ngx_goim_logic_up() == 0 && ngx_goim_trace_has(mid)) {
        ngx_goim_trace_write(id, mid, e->key, len,
                             "disconnect failed=\"no logic\"");
    }

    /* what else ends in this turn goes with it */

    ngx_post_event(&ngx_goim_ends_flush, &ngx_posted_events);
}


static ngx_goim_ends_t *
ngx_goim_ends_open(ngx_uint_t peer, size_t size)
{
    ngx_goim_ends_t  *b;

    b = ngx_goim_ends_filling[peer];

    if (b && b->n < GOIM_SESSIONS_CALL && b->used + size <= NGX_GOIM_ENDS_BYTES) {
        return b;
    }

    if (b) {
        ngx_queue_insert_tail(&ngx_goim_ends_ready, &b->queue);
        ngx_goim_ends_filling[peer] = NULL;
    }

    if (ngx_goim_ends_batches >= NGX_GOIM_ENDS_BATCHES) {
        return NULL;
    }

    b = ngx_alloc(sizeof(ngx_goim_ends_t), ngx_cycle->log);

    if (b == NULL) {
        return NULL;
    }

    b->peer = peer;
    b->n = 0;
    b->used = 0;

    ngx_goim_ends_batches++;
    ngx_goim_ends_filling[peer] = b;

    return b;
}


/* Full ones first; the others only when they can go now, else they fill. */

static void
ngx_goim_ends_flush_handler(ngx_event_t *ev)
{
    ngx_uint_t        i;
    ngx_queue_t      *q;
    ngx_goim_ends_t  *b;

    while (!ngx_queue_empty(&ngx_goim_ends_ready)
           && ngx_goim_ends_may_send())
    {
        q = ngx_queue_head(&ngx_goim_ends_ready);
        b = ngx_queue_data(q, ngx_goim_ends_t, queue);

        ngx_queue_remove(q);

        if (ngx_goim_ends_send(b) != NGX_OK) {
            ngx_queue_insert_head(&ngx_goim_ends_ready, q);
            return;
        }
    }

    for (i = 0; i <= ngx_goim_conf->logic.nelts; i++) {
        b = ngx_goim_ends_filling[i];

        if (b && ngx_goim_ends_may_send() && ngx_goim_ends_send(b) == NGX_OK)
        {
            ngx_goim_ends_filling[i] = NULL;
        }
    }
}


static ngx_uint_t
ngx_goim_ends_may_send(void)
{
    return ngx_goim_ends_calls < NGX_GOIM_ENDS_CALLS
           && (ngx_msec_int_t) (ngx_current_msec - ngx_goim_ends_rest) >= 0
           && ngx_goim_logic_up() > 0;
}


static ngx_int_t
ngx_goim_ends_send(ngx_goim_ends_t *b)
{
    ngx_uint_t       i, peer;
    Goim__Call       call;
    Goim__Ended      ended;
    ngx_goim_end_t  *e;

    static Goim__Session   sessions[GOIM_SESSIONS_CALL];
    static Goim__Session  *list[GOIM_SESSIONS_CALL];

    goim__call__init(&call);
    goim__ended__init(&ended);

    call.call_case = GOIM__CALL__CALL_ENDED;
    call.ended = &ended;

    ended.server = (char *) ngx_goim_conf->server_id.data;
    ended.zone = (char *) ngx_goim_zone->id;
    ended.worker = ngx_goim_slot->number;
    ended.sessions = list;
    ended.n_sessions = b->n;

    e = (ngx_goim_end_t *) b->data;

    for (i = 0; i < b->n; i++) {
        goim__session__init(&sessions[i]);
        sessions[i].mid = e->mid;
        sessions[i].session = e->id;
        sessions[i].key.data = e->key;
        sessions[i].key.len = e->len;
        sessions[i].epoch = (char *) e->key + e->len;
        sessions[i].acked = e->acked;
        list[i] = &sessions[i];

        e = ngx_goim_ends_next(e);
    }

    peer = b->peer;

    if (ngx_goim_logic_call(&call, &peer, ngx_goim_ends_reply, b) == NULL) {
        return NGX_DECLINED;
    }

    ngx_goim_ends_calls++;
    b->peer = peer;

    ngx_goim_ends_trace(b, "disconnect");

    return NGX_OK;
}


/* one that does not know the call is older than we: another will come */

static void
ngx_goim_ends_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_ends_t  *b = data;

    ngx_goim_ends_calls--;

    if (reply && reply->code == GOIM__REPLY__CODE__OK) {

        ngx_goim_ends_trace(b, "disconnected");

        ngx_goim_ends_heard = ngx_current_msec;
        ngx_goim_ends_pending -= b->n;
        ngx_goim_ends_batches--;
        ngx_free(b);

    } else {
        ngx_goim_ends_trace(b, reply ? "disconnected failed=\"logic refused\""
                             : "disconnected failed=\"logic did not answer\"");

        ngx_queue_insert_tail(&ngx_goim_ends_ready, &b->queue);
        ngx_goim_ends_rest = ngx_current_msec + NGX_GOIM_ENDS_REST;
    }

    ngx_goim_ends_flush_handler(&ngx_goim_ends_flush);
}


void
ngx_goim_disconnect_retry(void)
{
    ngx_goim_ends_flush_handler(&ngx_goim_ends_flush);
}


static void
ngx_goim_ends_trace(ngx_goim_ends_t *b, const char *step)
{
    ngx_uint_t       i;
    ngx_goim_end_t  *e;

    e = (ngx_goim_end_t *) b->data;

    for (i = 0; i < b->n; i++) {

        if (ngx_goim_trace_has(e->mid)) {

            if (ngx_strcmp(step, "disconnect") == 0) {
                ngx_goim_trace_write(e->id, e->mid, e->key, e->len,
                                     "disconnect logic=%ui", b->peer);
            } else {
                ngx_goim_trace_write(e->id, e->mid, e->key, e->len, "%s",
                                     step);
            }
        }

        e = ngx_goim_ends_next(e);
    }
}


void
ngx_goim_ignore_reply(void *data, const Goim__Reply *reply)
{
}
