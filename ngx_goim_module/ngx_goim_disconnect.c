
/*
 * Telling logic that sessions are gone.  What it did not acknowledge is told
 * again, since a mapping that stays would draw pushes to nobody.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_DISCONNECTS    16384       /* waiting; beyond, they expire in
                                               Redis */
#define NGX_GOIM_RETRY_BATCH    256


typedef struct {
    ngx_queue_t             queue;
    int64_t                 mid;
    uint64_t                id;
    ngx_uint_t              peer;
    size_t                  len;
    u_char                  key[1];
} ngx_goim_disconnect_t;


static void ngx_goim_disconnect_add(int64_t mid, const u_char *key,
    size_t len, uint64_t id, ngx_uint_t peer);
static void ngx_goim_disconnect_call(ngx_goim_disconnect_t *d);
static void ngx_goim_disconnect_reply(void *data, const Goim__Reply *reply);


/* a step of a session that is gone */
#define ngx_goim_disconnect_trace(d, ...)                                    \
    do {                                                                     \
        if (ngx_goim_trace_has((d)->mid)) {                                  \
            ngx_goim_trace_write((d)->id, (d)->mid, (d)->key, (d)->len,      \
                                 __VA_ARGS__);                               \
        }                                                                    \
    } while (0)


static ngx_queue_t  ngx_goim_disconnects;       /* to be told again */
static ngx_uint_t   ngx_goim_ndisconnects;      /* these and those under way */


void
ngx_goim_disconnect_init(void)
{
    ngx_queue_init(&ngx_goim_disconnects);
}


ngx_uint_t
ngx_goim_disconnect_pending(void)
{
    return ngx_goim_ndisconnects;
}


void
ngx_goim_disconnect(ngx_goim_session_t *s)
{
    ngx_goim_disconnect_add(s->mid, s->key.data, s->key.len, s->id, s->peer);
}


void
ngx_goim_disconnect_id(const Goim__Connected *in, uint64_t id,
    ngx_uint_t peer)
{
    ngx_goim_disconnect_add(in->mid, in->key.data, in->key.len, id, peer);
}


static void
ngx_goim_disconnect_add(int64_t mid, const u_char *key, size_t len,
    uint64_t id, ngx_uint_t peer)
{
    ngx_goim_disconnect_t  *d;

    if (ngx_goim_ndisconnects >= NGX_GOIM_DISCONNECTS) {
        return;
    }

    d = ngx_alloc(offsetof(ngx_goim_disconnect_t, key) + len,
                  ngx_cycle->log);
    if (d == NULL) {
        return;
    }

    d->mid = mid;
    d->id = id;
    d->peer = peer;
    d->len = len;
    ngx_memcpy(d->key, key, len);

    ngx_goim_ndisconnects++;
    ngx_goim_disconnect_call(d);
}


static void
ngx_goim_disconnect_call(ngx_goim_disconnect_t *d)
{
    Goim__Call        call;
    Goim__Disconnect  disconnect;

    goim__call__init(&call);
    goim__disconnect__init(&disconnect);

    call.call_case = GOIM__CALL__CALL_DISCONNECT;
    call.disconnect = &disconnect;

    disconnect.mid = d->mid;
    disconnect.key.data = d->key;
    disconnect.key.len = d->len;
    disconnect.server = (char *) ngx_goim_conf->server_id.data;
    disconnect.zone = (char *) ngx_goim_zone->id;
    disconnect.session = d->id;

    if (ngx_goim_logic_call(&call, &d->peer, ngx_goim_disconnect_reply, d)
        == NULL)
    {
        ngx_goim_disconnect_trace(d, "disconnect failed=\"no logic\"");
        ngx_queue_insert_tail(&ngx_goim_disconnects, &d->queue);
        return;
    }

    ngx_goim_disconnect_trace(d, "disconnect logic=%ui", d->peer);
}


static void
ngx_goim_disconnect_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_disconnect_t  *d = data;

    if (reply == NULL || reply->code == GOIM__REPLY__CODE__FAILED) {
        ngx_goim_disconnect_trace(d, "disconnected failed=\"%s\"",
                                  reply ? "logic refused"
                                        : "logic did not answer");
        ngx_queue_insert_tail(&ngx_goim_disconnects, &d->queue);
        return;
    }

    ngx_goim_disconnect_trace(d, "disconnected");

    ngx_goim_ndisconnects--;
    ngx_free(d);
}


void
ngx_goim_disconnect_retry(void)
{
    ngx_uint_t              n;
    ngx_queue_t            *q;
    ngx_goim_disconnect_t  *d;

    for (n = 0; n < NGX_GOIM_RETRY_BATCH; n++) {

        if (ngx_queue_empty(&ngx_goim_disconnects)
            || ngx_goim_logic_up() == 0)
        {
            return;
        }

        q = ngx_queue_head(&ngx_goim_disconnects);
        d = ngx_queue_data(q, ngx_goim_disconnect_t, queue);

        ngx_queue_remove(q);
        ngx_goim_disconnect_call(d);
    }
}


void
ngx_goim_ignore_reply(void *data, const Goim__Reply *reply)
{
}
