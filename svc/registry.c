/*
 * The registry of nodes, as a reader knows it: reading it.
 */

#include "registry_int.h"

#include "clock.h"
#include "log.h"
#include "common/goim_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define REGISTRY_MAX  65536         /* entries */


static int registry_start(registry_t *g);


static char *
registry_name(const char *prefix, const char *name)
{
    char  *key;

    if (asprintf(&key, "%s%s", prefix, name) == -1) {
        abort();
    }

    return key;
}


static int
registry_cmp(const Goim__Node *a, const Goim__Node *b)
{
    int  rc;

    rc = strcmp(a->info->server, b->info->server);

    return rc != 0 ? rc : strcmp(a->info->zone, b->info->zone);
}


static int
registry_sort(const void *a, const void *b)
{
    return registry_cmp(((const registry_zone_t *) a)->node,
                        ((const registry_zone_t *) b)->node);
}


static void
registry_drop_zones(registry_zone_t *zones, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        goim__node__free_unpacked(zones[i].node, NULL);
    }

    free(zones);
}


registry_t *
registry_new(struct event_base *base, svc_redis_t *r, int64_t ttl,
    int64_t renew)
{
    registry_t  *g;

    g = calloc(1, sizeof(registry_t));
    if (g == NULL) {
        abort();
    }

    g->base = base;
    g->r = r;
    g->ttl = ttl;
    g->renew = renew;
    g->broken = metrics_gauge("goim_registry_broken", NULL,
                              "Nodes whose entry in the registry is wrong: "
                              "they get nothing.");
    g->start = svc_now();
    g->key = registry_name(svc_redis_prefix(r), "goim:nodes");
    g->version_key = registry_name(svc_redis_prefix(r),
                                   "goim:nodes:version");

    return g;
}


static void
registry_release(registry_t *g)
{
    registry_drop_zones(g->zones, g->nzones);
    free(g->nodes);
    free(g->live);
    free(g->lapsed);
    free(g->key);
    free(g->version_key);
    free(g);
}


static void
registry_drop_waits(registry_wait_t **list)
{
    registry_wait_t  *w;

    while (*list != NULL) {
        w = *list;
        *list = w->next;
        free(w);
    }
}


void
registry_free(registry_t *g)
{
    registry_drop_waits(&g->now);
    registry_drop_waits(&g->later);

    if (g->reading) {
        g->freed = 1;       /* an answer is still to come */
        return;
    }

    registry_release(g);
}


/* ---- reading ---- */

static int
registry_parse(const redisReply *name, const redisReply *value,
    Goim__Node **out)
{
    size_t          n;
    Goim__Node     *node;
    Goim__Register *info;

    static log_once_t  broken;

    log_text_t  t;

    if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
    {
        return -1;
    }

    node = goim__node__unpack(NULL, value->len, (uint8_t *) value->str);

    if (node != NULL) {
        info = node->info;
        n = (info != NULL) ? strlen(info->server) : 0;

        if (n != 0 && n <= GOIM_SERVER_MAX && name->len == n + 1 + strlen(info->zone)
            && memcmp(name->str, info->server, n) == 0
            && name->str[n] == '/'
            && strcmp(name->str + n + 1, info->zone) == 0)
        {
            *out = node;
            return 0;
        }

        goim__node__free_unpacked(node, NULL);
    }

    log_seldom(&broken, LOG_ERROR, "registry: broken entry \"%s\" skipped",
               log_text(&t, name->str));

    return -1;
}


/* Whether what was read before and is not there any more is to be kept. */
static int
registry_kept(registry_zone_t *z, int64_t now)
{
    return !z->left && now < z->noticed + REGISTRY_FORGET;
}


static void
registry_merge(registry_t *g, registry_zone_t *zones, size_t n, int64_t now)
{
    int               rc;
    size_t            i, k, m;
    registry_zone_t  *old, *all;

    all = calloc(n + g->nzones + 1, sizeof(registry_zone_t));
    if (all == NULL) {
        abort();
    }

    old = g->zones;
    m = 0;

    for (i = 0, k = 0; i < n || k < g->nzones; /* void */ ) {

        rc = (i == n) ? 1
             : (k == g->nzones) ? -1 : registry_sort(&zones[i], &old[k]);

        if (rc <= 0) {
            all[m] = zones[i++];

            if (rc == 0) {
                all[m].live = old[k].live;

                if (all[m].node->seen == old[k].node->seen) {
                    all[m].noticed = old[k].noticed;
                }

                goim__node__free_unpacked(old[k++].node, NULL);
            }

            m++;

        } else if (registry_kept(&old[k], now) && m < REGISTRY_MAX) {
            all[m++] = old[k++];

        } else {
            goim__node__free_unpacked(old[k++].node, NULL);
        }
    }

    free(zones);
    free(old);

    g->zones = all;
    g->nzones = m;
}


/*
 * Whether an absence means that a node is not there. Who knew nodes knows.
 * Else it may not while there is no registry, or nodes may be about to
 * register again: where it was lost, and where this run of Redis read it
 * from its disk, perhaps without the newest. Two renewals are enough for
 * that, by Redis's clock or by this reader's own.
 */
static void
registry_settle(registry_t *g, int knew)
{
    uint64_t  born;

    if (knew) {
        return;
    }

    if (svc_now() - registry_from(g) >= 2 * g->renew) {
        g->settled = 1;
        return;
    }

    born = strtoull(g->created, NULL, 10);

    if (born == 0) {
        g->settled = 0;

    } else if (born < svc_redis_life(g->r)) {
        g->settled = g->redis_now >= svc_redis_life(g->r)
                                     + 2 * (uint64_t) g->renew;

    } else {
        g->settled = strchr(g->created, ' ') == NULL
                     || g->redis_now >= born + 2 * (uint64_t) g->renew;
    }
}


/* A callback may ask again; it may not free the registry. */
static void
registry_tell(registry_t *g, int ok)
{
    registry_wait_t  *w, *next;

    w = g->now;
    g->now = NULL;

    for ( /* void */ ; w != NULL; w = next) {
        next = w->next;
        w->cb(g, ok && g->settled, w->data);
        free(w);
    }
}


/* same: what there is stands as it is */
static void
registry_end(registry_t *g, int ok, int same)
{
    g->reading = 0;

    if (g->freed) {
        registry_release(g);
        return;
    }

    if (!same) {
        registry_view(g);
    }

    registry_tell(g, ok);

    /* the connection may be lost by now: these get no answer either then */

    while (g->later != NULL && !g->reading) {
        g->now = g->later;
        g->later = NULL;

        if (registry_start(g) != 0) {
            registry_tell(g, 0);
        }
    }
}


static void
registry_finish(registry_t *g, int ok)
{
    registry_end(g, ok, 0);
}


static void
registry_on_set(svc_redis_t *r, redisReply *reply, void *data)
{
    int               knew;
    size_t            i, n, broken;
    char              created[sizeof(((registry_t *) 0)->created)];
    int64_t           now;
    registry_t       *g;
    registry_zone_t  *zones;

    static log_once_t  errors;

    g = data;

    if (g->freed || svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY)
    {
        if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
            log_seldom(&errors, LOG_ERROR, "registry: %s", reply->str);
        }

        registry_finish(g, 0);
        return;
    }

    zones = calloc(reply->elements / 2 + 1, sizeof(registry_zone_t));
    if (zones == NULL) {
        abort();
    }

    now = svc_now();
    created[0] = '\0';
    n = 0;
    broken = 0;

    for (i = 0; i + 1 < reply->elements; i += 2) {

        if (reply->element[i]->type == REDIS_REPLY_STRING
            && strcmp(reply->element[i]->str, "created") == 0)
        {
            snprintf(created, sizeof(created), "%.31s",
                     reply->element[i + 1]->type == REDIS_REPLY_STRING
                     ? reply->element[i + 1]->str : "");
            continue;
        }

        if (n < REGISTRY_MAX
            && registry_parse(reply->element[i], reply->element[i + 1],
                              &zones[n].node) == 0)
        {
            zones[n].left = zones[n].node->left;
            zones[n++].noticed = now;

        } else {
            broken++;
        }
    }

    metrics_set(g->broken, (int64_t) broken);

    qsort(zones, n, sizeof(registry_zone_t), registry_sort);

    knew = g->settled && g->nnodes > 0;

    registry_merge(g, zones, n, now);

    strcpy(g->created, created);
    strcpy(g->version, g->pending);
    g->read_at = now;
    g->read_life = svc_redis_life(r);

    registry_settle(g, knew);
    registry_finish(g, 1);
}


static void
registry_get_set(registry_t *g)
{
    if (svc_redis_callf(g->r, registry_on_set, g, "HGETALL %s", g->key) != 0)
    {
        registry_finish(g, 0);
    }
}


static void
registry_on_time(svc_redis_t *r, redisReply *reply, void *data)
{
    registry_t  *g;

    (void) r;

    g = data;

    if (g->freed || svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        registry_finish(g, 0);
        return;
    }

    g->redis_now = strtoull(reply->element[0]->str, NULL, 10) * 1000
                   + strtoull(reply->element[1]->str, NULL, 10) / 1000;

    registry_get_set(g);
}


static void
registry_on_version(svc_redis_t *r, redisReply *reply, void *data)
{
    registry_t        *g;
    svc_redis_class_t  class;

    g = data;
    class = svc_redis_class(reply);

    /* a version that is no string is mended by the next registration */

    if (g->freed || (class != SVC_REDIS_OK && class != SVC_REDIS_TYPE)) {
        registry_finish(g, 0);
        return;
    }

    snprintf(g->pending, sizeof(g->pending), "%.31s",
             reply->type == REDIS_REPLY_STRING ? reply->str : "");

    if (g->read_at != 0 && g->settled && g->nnodes > 0
        && svc_now() - g->read_at < g->renew
        && g->read_life == svc_redis_life(r)
        && g->read_at >= svc_redis_since(r)
        && strcmp(g->version, g->pending) == 0 && !registry_due(g))
    {
        /* kept against a mass loss, it is judged by the time too */

        registry_end(g, 1, g->nsilent == 0);
        return;
    }

    /* ages count, by Redis's clock */

    if (svc_redis_callf(r, registry_on_time, g, "TIME") != 0) {
        registry_finish(g, 0);
    }
}


static int
registry_start(registry_t *g)
{
    g->reading = 1;

    if (svc_redis_callf(g->r, registry_on_version, g, "GET %s",
                        g->version_key) != 0)
    {
        g->reading = 0;
        return -1;
    }

    return 0;
}


int
registry_read(registry_t *g, registry_read_pt cb, void *data)
{
    registry_wait_t   *w, **place;

    if (!svc_redis_is_up(g->r)) {
        return -1;
    }

    w = malloc(sizeof(registry_wait_t));
    if (w == NULL) {
        abort();
    }

    w->cb = cb;
    w->data = data;
    w->next = NULL;

    /* what a reading under way shows may be older than this question */

    place = g->reading || g->now != NULL ? &g->later : &g->now;

    while (*place != NULL) {
        place = &(*place)->next;
    }

    *place = w;

    if (!g->reading && g->now == w && registry_start(g) != 0) {
        g->now = NULL;
        free(w);
        return -1;
    }

    return 0;
}
