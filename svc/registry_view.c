/*
 * The registry of nodes, as a reader knows it: which nodes count.
 */

#include "registry_int.h"

#include "clock.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>


/* The newest first. */
static int
registry_newest(const void *a, const void *b)
{
    const Goim__Node  *x, *y;

    x = *(Goim__Node *const *) a;
    y = *(Goim__Node *const *) b;

    if (x->info->started != y->info->started) {
        return x->info->started < y->info->started ? 1 : -1;
    }

    if (x->seen != y->seen) {
        return x->seen < y->seen ? 1 : -1;
    }

    return strcmp(x->info->zone, y->info->zone);
}


int64_t
registry_from(registry_t *g)
{
    int64_t  since;

    since = svc_redis_since(g->r);

    return g->start > since ? g->start : since;
}


/* When a renewal of the zone was seen, or could have been. */
static int64_t
registry_seen(registry_t *g, registry_zone_t *z)
{
    int64_t  from;

    from = registry_from(g);

    return z->noticed > from ? z->noticed : from;
}


int
registry_due(registry_t *g)
{
    size_t   i;
    int64_t  now;

    now = svc_now();

    for (i = 0; i < g->nzones; i++) {
        if (g->zones[i].live && g->zones[i].renewed
            && now >= registry_seen(g, &g->zones[i]) + g->ttl)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * Whether the zone is late: by Redis's clock, as what was read last says.  A
 * reader that could not have seen renewals takes nobody for late.
 */
static int
registry_late(registry_t *g, registry_zone_t *z, int64_t now)
{
    return now >= registry_from(g) + g->ttl / 2
           && g->redis_now >= z->node->seen + (uint64_t) g->ttl / 2;
}


/*
 * Whether more than half of the nodes have fallen silent together.  Nodes
 * renew one after the other, so their TTLs pass one after the other: when the
 * first one's does, those who fell silent with it are at most a renewal
 * younger.  Who lives was renewed a renewal ago at most; half a TTL lies
 * between the two.
 */
static int
registry_lost(registry_t *g, int64_t now, size_t *known, size_t *fresh)
{
    size_t            i;
    const char       *server, *counted;
    registry_zone_t  *z;

    *known = 0;
    *fresh = 0;
    server = NULL;
    counted = NULL;

    for (i = 0; i < g->nzones; i++) {
        z = &g->zones[i];

        if (!z->was_live || z->left) {
            continue;
        }

        if (server == NULL || strcmp(server, z->node->info->server) != 0) {
            server = z->node->info->server;
            (*known)++;
        }

        if (!registry_late(g, z, now) && server != counted) {
            counted = server;
            (*fresh)++;
        }
    }

    return *fresh * 2 < *known;
}


/*
 * Live is who was renewed in time; with `keep` also who was live until now,
 * for an hour at most.
 */
static void
registry_mark(registry_t *g, int64_t now, int keep)
{
    size_t            i;
    int64_t           at;
    registry_zone_t  *z;

    for (i = 0; i < g->nzones; i++) {
        z = &g->zones[i];
        at = registry_seen(g, z);

        z->renewed = (!z->left && now < at + g->ttl);
        z->live = z->renewed
                  || (keep && !z->left && z->was_live
                      && now < at + REGISTRY_FORGET);
    }
}


/* The zones [i, end) of one server are none that count. */
static void
registry_build_lapsed(registry_t *g, size_t i, size_t end)
{
    for ( /* void */ ; i < end; i++) {
        if (!g->zones[i].left) {
            g->lapsed[g->nlapsed++] = g->zones[i].node->info->server;
            return;
        }
    }
}


/* The zones [i, end) are one server's. */
static void
registry_build_node(registry_t *g, size_t i, size_t end, size_t *n)
{
    size_t            k;
    const char       *server;
    registry_node_t  *node;

    server = g->zones[i].node->info->server;
    node = &g->nodes[g->nnodes];

    node->server = server;
    node->zone = &g->live[*n];
    node->zones = 0;

    for (k = i; k < end; k++) {
        if (g->zones[k].live && g->zones[k].renewed) {
            g->live[(*n)++] = g->zones[k].node;
            node->zones++;
        }
    }

    node->renewed = node->zones;

    for (k = i; k < end; k++) {
        if (g->zones[k].live && !g->zones[k].renewed) {
            g->live[(*n)++] = g->zones[k].node;
            node->zones++;
        }
    }

    if (node->zones == 0) {
        registry_build_lapsed(g, i, end);
        return;
    }

    qsort(node->zone, node->renewed, sizeof(Goim__Node *), registry_newest);
    qsort(node->zone + node->renewed, node->zones - node->renewed,
          sizeof(Goim__Node *), registry_newest);

    g->nnodes++;
    g->nsilent += (node->renewed == 0);
}


static void
registry_build(registry_t *g)
{
    size_t  i, end, n;

    free(g->nodes);
    free(g->live);
    free(g->lapsed);

    g->nodes = calloc(g->nzones + 1, sizeof(registry_node_t));
    g->live = calloc(g->nzones + 1, sizeof(Goim__Node *));
    g->lapsed = calloc(g->nzones + 1, sizeof(char *));

    if (g->nodes == NULL || g->live == NULL || g->lapsed == NULL) {
        abort();
    }

    g->nnodes = 0;
    g->nsilent = 0;
    g->nlapsed = 0;

    for (i = 0, n = 0; i < g->nzones; i = end) {
        end = i + 1;

        while (end < g->nzones
               && strcmp(g->zones[end].node->info->server,
                         g->zones[i].node->info->server) == 0)
        {
            end++;
        }

        registry_build_node(g, i, end, &n);
    }
}


void
registry_view(registry_t *g)
{
    int      lost;
    size_t   i, fresh, known, was_silent;
    int64_t  now;

    static log_once_t  loss, over;

    now = svc_now();

    for (i = 0; i < g->nzones; i++) {
        g->zones[i].was_live = g->zones[i].live;
    }

    lost = registry_lost(g, now, &known, &fresh);

    was_silent = g->nsilent;

    registry_mark(g, now, lost);
    registry_build(g);
    g->made++;

    if (g->nsilent > 0) {
        log_seldom(&loss, LOG_WARN, "registry: only %zu of %zu nodes have "
                   "been renewed in time, the others are kept for now",
                   fresh, known);

    } else if (was_silent > 0) {
        log_seldom(&over, LOG_NOTICE, "registry: %zu of %zu nodes have been "
                   "renewed in time, none is kept any more", fresh, known);
    }
}


/* ---- asking ---- */

uint64_t
registry_made(registry_t *g)
{
    return g->made;
}


size_t
registry_nodes(registry_t *g, const registry_node_t **nodes)
{
    *nodes = g->nodes;

    return g->nnodes;
}


int
registry_current(registry_t *g)
{
    return svc_redis_is_up(g->r) && g->read_at != 0;
}


size_t
registry_lapsed(registry_t *g, const char *const **servers)
{
    *servers = g->lapsed;

    return g->nlapsed;
}


size_t
registry_silent(registry_t *g)
{
    return g->nsilent;
}


uint64_t
registry_rooms(registry_t *g, const char *server)
{
    size_t    low, high, mid;
    uint64_t  life, rooms;

    low = 0;
    high = g->nzones;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (strcmp(g->zones[mid].node->info->server, server) < 0) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    life = 0;

    for ( /* void */ ; low < g->nzones
          && strcmp(g->zones[low].node->info->server, server) == 0; low++)
    {
        if (g->zones[low].left) {
            continue;
        }

        rooms = g->zones[low].node->info->rooms;

        if (rooms == 0 || (life != 0 && rooms != life)) {
            return 0;
        }

        life = rooms;
    }

    return life;
}


const registry_node_t *
registry_find(registry_t *g, const char *server)
{
    int     rc;
    size_t  low, high, mid;

    low = 0;
    high = g->nnodes;

    while (low < high) {
        mid = low + (high - low) / 2;
        rc = strcmp(server, g->nodes[mid].server);

        if (rc == 0) {
            return &g->nodes[mid];
        }

        if (rc < 0) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    return NULL;
}
