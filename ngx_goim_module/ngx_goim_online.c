
/*
 * The counts of the node's rooms, told with each renewal of its registration,
 * and those of the whole cluster, asked for.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_ONLINE_ROOMS    500        /* a call, about */


typedef struct {
    ngx_goim_call_t        *call;           /* under way */
    ngx_pool_t             *pool;           /* of it */
    ngx_array_t            *counts;
    ngx_uint_t              bucket;
    ngx_uint_t              last;           /* no more to walk */
    ngx_uint_t              whole;          /* all rooms are told */
    uint32_t                told;           /* of them, with members */
} ngx_goim_online_t;


static void ngx_goim_online_call(void);
static ngx_int_t ngx_goim_online_rooms(Goim__Online *online);
static void ngx_goim_online_reply(void *data, const Goim__Reply *reply);
static void ngx_goim_online_known(Goim__RoomCount **rooms);


static ngx_goim_online_t  ngx_goim_online;


/*
 * In each renewal the zone tells which counts have changed, and asks for those
 * of the other rooms.  It tells all of them when logic may not know: at first,
 * and after another life of Redis.
 */

void
ngx_goim_online_start(void)
{
    ngx_goim_online_t  *g;

    g = &ngx_goim_online;

    if (g->call == NULL) {
        g->bucket = 0;
        g->told = 0;
        g->whole = !ngx_goim_zone->reported;
        ngx_goim_online_call();
    }
}


static void
ngx_goim_online_call(void)
{
    ngx_uint_t              i, peer;
    Goim__Call              call;
    Goim__Online            online;
    ngx_goim_online_t    *g;
    ngx_goim_room_count_t  *rc;

    g = &ngx_goim_online;

    g->pool = ngx_create_pool(4096, ngx_cycle->log);
    if (g->pool == NULL) {
        return;
    }

    g->counts = ngx_array_create(g->pool, NGX_GOIM_ONLINE_ROOMS,
                                 sizeof(ngx_goim_room_count_t));
    if (g->counts == NULL) {
        goto done;
    }

    g->last = ngx_goim_room_walk(&g->bucket, NGX_GOIM_ONLINE_ROOMS, g->counts)
              == NGX_DONE;

    rc = g->counts->elts;

    for (i = 0; i < g->counts->nelts; i++) {
        rc[i].changed |= g->whole;
        g->told += (rc[i].count != 0);
    }

    if (g->counts->nelts == 0 && !g->whole) {
        goto done;
    }

    goim__call__init(&call);
    goim__online__init(&online);

    call.call_case = GOIM__CALL__CALL_ONLINE;
    call.online = &online;

    online.server = (char *) ngx_goim_conf->server_id.data;
    online.zone = (char *) ngx_goim_zone->id;
    online.whole = g->whole && g->last;
    online.told = online.whole ? g->told : 0;

    if (ngx_goim_online_rooms(&online) != NGX_OK) {
        goto done;
    }

    peer = NGX_GOIM_LOGIC_ANY;

    g->call = ngx_goim_logic_call(&call, &peer, ngx_goim_online_reply,
                                    NULL);
    if (g->call) {
        return;
    }

done:

    ngx_goim_online_end();
}


static ngx_int_t
ngx_goim_online_rooms(Goim__Online *online)
{
    ngx_uint_t              i, n;
    ngx_pool_t             *pool;
    Goim__RoomCount        *rooms;
    ngx_goim_room_count_t  *rc;

    pool = ngx_goim_online.pool;
    rc = ngx_goim_online.counts->elts;
    n = ngx_goim_online.counts->nelts + 1;

    rooms = ngx_palloc(pool, n * sizeof(Goim__RoomCount));
    online->rooms = ngx_palloc(pool, n * sizeof(Goim__RoomCount *));
    online->asked = ngx_palloc(pool, n * sizeof(ProtobufCBinaryData));

    if (rooms == NULL || online->rooms == NULL || online->asked == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n - 1; i++) {

        if (!rc[i].changed) {
            online->asked[online->n_asked].data = rc[i].room.data;
            online->asked[online->n_asked++].len = rc[i].room.len;
            continue;
        }

        goim__room_count__init(&rooms[i]);
        rooms[i].room.data = rc[i].room.data;
        rooms[i].room.len = rc[i].room.len;
        rooms[i].count = rc[i].count;
        online->rooms[online->n_rooms++] = &rooms[i];
    }

    return NGX_OK;
}


static void
ngx_goim_online_reply(void *data, const Goim__Reply *reply)
{
    ngx_uint_t            all;
    ngx_goim_online_t  *g;

    g = &ngx_goim_online;
    g->call = NULL;

    if (reply == NULL || reply->code != GOIM__REPLY__CODE__OK
        || reply->reply_case != GOIM__REPLY__REPLY_ONLINED
        || reply->onlined->n_rooms != g->counts->nelts)
    {
        ngx_goim_online_end();
        return;
    }

    ngx_goim_online_known(reply->onlined->rooms);

    all = reply->onlined->all;

    ngx_goim_online_end();

    if (all && (!g->whole || g->last)) {
        ngx_goim_zone->reported = 0;

        if (!g->whole && ngx_goim_lease_held()) {
            ngx_goim_online_start();
        }

        return;
    }

    if (g->last) {
        ngx_goim_zone->reported |= g->whole;

    } else if (ngx_goim_lease_held()) {
        ngx_goim_online_call();
    }
}


/* First those that were told, then those that were asked for. */

static void
ngx_goim_online_known(Goim__RoomCount **rooms)
{
    ngx_uint_t              i, changed;
    ngx_array_t            *counts;
    ngx_goim_room_count_t  *rc;

    counts = ngx_goim_online.counts;
    rc = counts->elts;

    for (changed = 2; changed-- > 0; /* void */ ) {
        for (i = 0; i < counts->nelts; i++) {
            if (rc[i].changed == changed) {
                ngx_goim_room_report(&rc[i].room, rc[i].count,
                                     (*rooms++)->count);
            }
        }
    }
}


void
ngx_goim_online_end(void)
{
    ngx_goim_online_t  *g;

    g = &ngx_goim_online;

    if (g->call) {
        ngx_goim_logic_cancel(g->call);
        g->call = NULL;
    }

    if (g->pool) {
        ngx_destroy_pool(g->pool);
        g->pool = NULL;
    }
}
