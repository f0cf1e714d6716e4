
/*
 * The lists of this node's rooms in Redis, looked after by the worker that
 * holds the lease: what has members and is not listed, or not in this life of
 * Redis, what is empty for a while.  When all are listed the registration says
 * so, and records for other rooms stay away.
 *
 * Nobody waits for lists where there are few nodes.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_VOUCH_CALLS    2           /* under way */
#define NGX_GOIM_VOUCH_ROOMS    500         /* a call, about */
#define NGX_GOIM_VOUCH_TICKS    20          /* of a walk, at least */
#define NGX_GOIM_VOUCH_REST     5000        /* ms between walks */
#define NGX_GOIM_VOUCH_EMPTY    60          /* s, and then it is taken off */
#define NGX_GOIM_VOUCH_FEWER    3           /* times that logic says so */
#define NGX_GOIM_VOUCH_JUMP     3600000     /* ms, of Redis's clock */
#define NGX_GOIM_VOUCH_SAFE     1000        /* ms: clocks are not that exact */

#define NGX_GOIM_VOUCH_UNKNOWN  1           /* no life */


/* Rooms that are to be listed by one call. */
typedef struct {
    ngx_pool_t             *pool;
    ngx_str_t              *rooms;
    ngx_uint_t              n;
    uint64_t                order;
} ngx_goim_vouch_call_t;


static struct {
    ngx_goim_list_walk_t    walk;
    ngx_uint_t              walking;
    ngx_uint_t              clear;          /* lists are to go */
    ngx_uint_t              calls;
    ngx_uint_t              fewer;
    ngx_msec_t              rest;           /* until then */
    uint64_t                seen;           /* Redis's clock, */
    ngx_msec_t              sent;           /* and ours then */
} ngx_goim_vouch;


static void ngx_goim_vouch_nodes(ngx_uint_t n);
static void ngx_goim_vouch_clock(uint64_t seen, ngx_msec_t sent);
static void ngx_goim_vouch_begin(void);
static ngx_uint_t ngx_goim_vouch_empty(void);
static ngx_int_t ngx_goim_vouch_walk(ngx_uint_t *buckets);
static ngx_int_t ngx_goim_vouch_send(void);
static ngx_int_t ngx_goim_vouch_names(ngx_pool_t *pool, ngx_array_t *names,
    ProtobufCBinaryData **list);
static void ngx_goim_vouch_reply(void *data, const Goim__Reply *reply);


/* ---- what the registration says ---- */

void
ngx_goim_vouch_register(Goim__Register *reg)
{
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;

    reg->rooms = lists->vouched;
    reg->news = reg->rooms != lists->told;

    /* until that is confirmed, either may stand in Redis */

    if (reg->news) {
        lists->told = NGX_GOIM_VOUCH_UNKNOWN;
    }

    if (reg->rooms) {
        lists->vouched_at = ngx_current_msec;
    }
}


ngx_uint_t
ngx_goim_vouch_news(void)
{
    return ngx_goim_zone->lists.vouched != ngx_goim_zone->lists.told;
}


/*
 * Rooms need not be listed any more when Redis has confirmed that nobody relies
 * on that, and no registration of before can come late and say otherwise: it is
 * refused once its time is over.
 */

void
ngx_goim_vouch_registered(const Goim__Registered *in, ngx_msec_t sent,
    uint64_t rooms)
{
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;

    lists->told = rooms;

    ngx_goim_lists_life(in->life);
    ngx_goim_vouch_nodes(in->nodes);
    ngx_goim_vouch_clock(in->seen, sent);

    ngx_goim_lock();

    if (rooms == 0 && lists->vouched == 0
        && sent - lists->vouched_at > ngx_goim_conf->logic_timeout
                                      + NGX_GOIM_VOUCH_SAFE)
    {
        lists->strict = 0;
    }

    ngx_goim_unlock();
}


static void
ngx_goim_vouch_nodes(ngx_uint_t n)
{
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;

    if (n > GOIM_LISTS_NODES && !lists->wanted) {
        lists->wanted = 1;
        ngx_goim_vouch.rest = ngx_current_msec;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "goim: %ui nodes, rooms are listed", n);
    }

    if (n == 0 || n >= GOIM_LISTS_NODES || !lists->wanted) {
        ngx_goim_vouch.fewer = 0;
        return;
    }

    if (++ngx_goim_vouch.fewer < NGX_GOIM_VOUCH_FEWER) {
        return;
    }

    lists->wanted = 0;
    ngx_goim_vouch.clear = 1;
    ngx_goim_vouch.rest = ngx_current_msec;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "goim: %ui nodes, rooms are not listed any more", n);
}


/* What is listed ends by Redis's clock. */

static void
ngx_goim_vouch_clock(uint64_t seen, ngx_msec_t sent)
{
    int64_t  jump;

    jump = (int64_t) (seen - ngx_goim_vouch.seen)
           - (int64_t) (sent - ngx_goim_vouch.sent);

    if (ngx_goim_vouch.seen
        && (jump > NGX_GOIM_VOUCH_JUMP || jump < -NGX_GOIM_VOUCH_JUMP))
    {
        ngx_goim_lock();
        ngx_goim_zone->lists.since = ngx_goim_seconds() + 1;
        ngx_goim_zone->lists.vouched = 0;
        ngx_goim_zone->lists.any = 0;
        ngx_goim_unlock();

        ngx_goim_vouch.walking = 0;
    }

    ngx_goim_vouch.seen = seen;
    ngx_goim_vouch.sent = sent;
}


/* ---- the walk ---- */

void
ngx_goim_vouch_tick(void)
{
    ngx_int_t         rc;
    ngx_uint_t         buckets;
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;

    if (!ngx_goim_lease_held() || !ngx_goim_registered()) {
        ngx_goim_vouch.walking = 0;
        return;
    }

    if (!ngx_goim_vouch.walking) {

        if ((!lists->wanted && !lists->strict && !ngx_goim_vouch.clear)
            || ngx_goim_vouch.calls
            || (ngx_msec_int_t) (ngx_current_msec - ngx_goim_vouch.rest) < 0)
        {
            return;
        }

        ngx_goim_vouch_begin();
    }

    buckets = ngx_goim_zone->tables[NGX_GOIM_ROOMS].mask / NGX_GOIM_VOUCH_TICKS
              + 1;
    rc = NGX_OK;

    while (rc == NGX_OK && buckets
           && ngx_goim_vouch.calls < NGX_GOIM_VOUCH_CALLS)
    {
        rc = ngx_goim_vouch_walk(&buckets);
    }

    if (rc == NGX_ERROR) {
        ngx_goim_vouch.walking = 0;
        ngx_goim_vouch.rest = ngx_current_msec + 1000;

    } else if (rc == NGX_DONE) {
        ngx_goim_vouch.walking = 0;
        ngx_goim_lists_verdict(&ngx_goim_vouch.walk);

        if (ngx_goim_vouch.walk.clear) {
            ngx_goim_vouch.clear = 0;
        }
    }
}


static void
ngx_goim_vouch_begin(void)
{
    ngx_msec_t  rest;

    rest = ngx_min(NGX_GOIM_VOUCH_REST, ngx_goim_zone->registration.renew);

    ngx_goim_vouch.walk.empty = ngx_goim_vouch_empty();
    ngx_goim_vouch.walking = 1;
    ngx_goim_vouch.rest = ngx_current_msec + rest;

    ngx_goim_lists_begin(&ngx_goim_vouch.walk);
}


/* s: six renewals, a minute at most; but half of it longer than a call */

static ngx_uint_t
ngx_goim_vouch_empty(void)
{
    ngx_uint_t  s, least;

    s = ngx_min(6 * ngx_goim_zone->registration.renew / 1000,
                NGX_GOIM_VOUCH_EMPTY);
    least = 2 * (ngx_goim_conf->logic_timeout / 1000 + 2);

    return ngx_max(s, least);
}


/* One call's.  NGX_ERROR: it cannot be told. */

static ngx_int_t
ngx_goim_vouch_walk(ngx_uint_t *buckets)
{
    ngx_int_t              rc;
    ngx_str_t             *name;
    ngx_uint_t             from;
    ngx_goim_list_walk_t  *w;

    w = &ngx_goim_vouch.walk;

    w->pool = ngx_create_pool(4096, ngx_cycle->log);
    if (w->pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&w->listed, w->pool, 64, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&w->off, w->pool, 64, sizeof(ngx_str_t)) != NGX_OK)
    {
        goto failed;
    }

    if (w->any) {
        name = ngx_array_push(&w->listed);
        if (name == NULL) {
            goto failed;
        }

        ngx_str_null(name);
        w->any = 0;
    }

    from = w->bucket;
    rc = ngx_goim_lists_walk(w, *buckets, NGX_GOIM_VOUCH_ROOMS);
    *buckets -= ngx_min(w->bucket - from, *buckets);

    if (w->listed.nelts == 0 && w->off.nelts == 0) {
        ngx_destroy_pool(w->pool);
        return rc;
    }

    if (ngx_goim_vouch_send() == NGX_OK) {
        return rc;
    }

failed:

    ngx_destroy_pool(w->pool);

    return NGX_ERROR;
}


static ngx_int_t
ngx_goim_vouch_send(void)
{
    ngx_uint_t              peer;
    Goim__Call              call;
    Goim__Rooms             rooms;
    ngx_goim_list_walk_t   *w;
    ngx_goim_vouch_call_t  *c;

    w = &ngx_goim_vouch.walk;

    c = ngx_palloc(w->pool, sizeof(ngx_goim_vouch_call_t));
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->pool = w->pool;
    c->rooms = w->listed.elts;
    c->n = w->listed.nelts;
    c->order = ngx_goim_list_order();

    goim__call__init(&call);
    goim__rooms__init(&rooms);

    call.call_case = GOIM__CALL__CALL_ROOMS;
    call.rooms = &rooms;

    rooms.server = (char *) ngx_goim_conf->server_id.data;
    rooms.zone = (char *) ngx_goim_zone->id;
    rooms.order = c->order;
    rooms.off_order = w->off_order;
    rooms.n_listed = w->listed.nelts;
    rooms.n_off = w->off.nelts;

    peer = NGX_GOIM_LOGIC_ANY;

    if (ngx_goim_vouch_names(w->pool, &w->listed, &rooms.listed) != NGX_OK
        || ngx_goim_vouch_names(w->pool, &w->off, &rooms.off) != NGX_OK
        || ngx_goim_logic_call(&call, &peer, ngx_goim_vouch_reply, c) == NULL)
    {
        return NGX_ERROR;
    }

    ngx_goim_vouch.calls++;

    return NGX_OK;
}


static ngx_int_t
ngx_goim_vouch_names(ngx_pool_t *pool, ngx_array_t *names,
    ProtobufCBinaryData **list)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    *list = ngx_palloc(pool, (names->nelts + 1) * sizeof(ProtobufCBinaryData));
    if (*list == NULL) {
        return NGX_ERROR;
    }

    name = names->elts;

    for (i = 0; i < names->nelts; i++) {
        (*list)[i].data = name[i].data;
        (*list)[i].len = name[i].len;
    }

    return NGX_OK;
}


/* What was not done the next walk finds; what was not taken off is gone after a
   day. */

static void
ngx_goim_vouch_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_vouch_call_t  *c = data;

    ngx_uint_t  i;

    ngx_goim_vouch.calls--;

    if (reply && reply->code == GOIM__REPLY__CODE__OK
        && reply->reply_case == GOIM__REPLY__REPLY_ROOMED)
    {
        for (i = 0; i < c->n; i++) {
            (void) ngx_goim_room_list(&c->rooms[i], reply->roomed->life,
                                      c->order);
        }

        ngx_goim_vouch.rest = ngx_current_msec;

    } else {
        ngx_goim_vouch.rest = ngx_current_msec + 1000;
    }

    ngx_destroy_pool(c->pool);
}
