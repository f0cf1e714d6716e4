/*
 * The registry of nodes in Redis: the hash <prefix>goim:nodes has a field
 * <server>/<zone id> with a packed goim.Node. logic writes it for the comets,
 * logic and job read it.
 *
 * The hash also has the field "created" (Redis's time in ms of its first
 * registration), and <prefix>goim:nodes:version counts registrations of new
 * nodes and deregistrations, so that a reader can tell cheaply whether the
 * set changed.
 *
 * Expiry is the reader's to judge: a node counts until it deregisters or its
 * TTL has passed by the reader's own clock since the later of the last
 * renewal the reader saw, the reader's start and its last connect to Redis.
 * When more than half of the nodes fall silent together, it is rather those
 * who renew the registrations that are away: the nodes go on to count until
 * at least half are renewed again, an hour at most. A deregistration is
 * always believed. An entry that has not been renewed for an hour is removed
 * by the next registration of anybody.
 */

#ifndef SVC_REGISTRY_H
#define SVC_REGISTRY_H

#include "redis.h"

#include "proto/goim.pb-c.h"

/* ---- writing (logic) ---- */

typedef enum {
    REGISTRY_OK, REGISTRY_REFUSED, REGISTRY_AGAIN
} registry_result_t;

/* holder: who has the server_id when refused, else "" */
typedef void (*registry_pt)(registry_result_t result, const char *holder,
    void *data);

/*
 * Register or renew (goim.Register says who). Another instance that is
 * within its TTL holds the server_id: REGISTRY_REFUSED, unless its instance
 * string equals info->replaces. Several zones of one instance, which is told
 * by the last part of that string, are all welcome. Renews the expiry of the
 * node's stream. -1: not connected.
 */
int registry_register(svc_redis_t *r, const Goim__Register *info,
    int64_t ttl, registry_pt cb, void *data);

int registry_deregister(svc_redis_t *r, const char *server,
    const char *zone, registry_pt cb, void *data);

/* ---- reading (logic, job) ---- */

typedef struct registry_s  registry_t;      /* the set as this reader knows it */

registry_t *registry_new(struct event_base *base, svc_redis_t *r,
    int64_t ttl, int64_t renew);

void registry_free(registry_t *g);

/*
 * Read the set (only its version when that did not change, wholly at least
 * once a renewal). 0: cb comes with `ok`; -1: not connected.
 *
 * ok is 0 when Redis did not answer, and also while the reader knew no node
 * and the registry is younger than two renewals (the later of "created" and
 * the life): an empty or half-filled set is not "no nodes". The same step
 * again later.
 */
typedef void (*registry_read_pt)(registry_t *g, int ok, void *data);

int registry_read(registry_t *g, registry_read_pt cb, void *data);

/* The nodes that count now. Valid until the next registry_read() callback. */
typedef struct {
    const char            *server;
    size_t                 zones;       /* live zones of this server */
    size_t                 renewed;     /* of them, in time: these come first;
                                           the others are kept, as too many
                                           fell silent together */
    const Goim__Node     **zone;        /* newest first */
} registry_node_t;

size_t registry_nodes(registry_t *g, const registry_node_t **nodes);
const registry_node_t *registry_find(registry_t *g, const char *server);

/* How many of them are kept only because of that. */
size_t registry_silent(registry_t *g);

#endif
