/*
 * The registry of nodes in Redis: the hash <prefix>goim:nodes has a field
 * <server>/<zone id> with a packed goim.Node. logic writes it for the comets,
 * logic and job read it.
 *
 * The hash also has the field "created": Redis's time in ms of its first
 * registration, and " lost" when somebody was registered already, so that it
 * was rather lost. <prefix>goim:nodes:version counts what a reader must know
 * at once: new nodes, nodes that left, and nodes that were late and are back.
 *
 * Expiry is the reader's to judge: a node counts until it says that it left
 * (its entry stays and says so) or its TTL has passed by the reader's own
 * clock since the later of the last renewal the reader saw, the reader's
 * start and its last connect to Redis. An entry that is not there any more
 * says nothing: it was swept, or Redis lost it. When more than half of the
 * nodes fall silent together, it is rather those who renew the registrations
 * that are away: the nodes go on to count until at least half are renewed
 * again, an hour at most.
 *
 * A node whose time has passed has lapsed: it gets nothing any more, but may
 * come back. It is known for an hour, so that somebody can count for it what
 * it misses (<prefix>goim:nodes:missed, a number a server).
 */

#ifndef SVC_REGISTRY_H
#define SVC_REGISTRY_H

#include "redis.h"

#include "proto/goim.pb-c.h"

typedef struct registry_s  registry_t;      /* the set as this reader knows it */

registry_t *registry_new(struct event_base *base, svc_redis_t *r,
    int64_t ttl, int64_t renew);

void registry_free(registry_t *g);


/* ---- writing (logic) ---- */

typedef enum {
    REGISTRY_OK, REGISTRY_REFUSED, REGISTRY_AGAIN
} registry_result_t;

typedef struct {
    registry_result_t   result;
    const char         *holder;     /* who has the server_id, if refused */
    uint64_t            seen;       /* Redis's time, ms */
    uint64_t            missed;     /* records, see above */
    int                 lapsed;     /* it was registered, and nobody knew */
} registry_answer_t;

typedef void (*registry_pt)(const registry_answer_t *a, void *data);

/*
 * Register or renew (goim.Register says who). Another instance that is
 * within its TTL holds the server_id: REGISTRY_REFUSED, unless its instance
 * string equals info->replaces. Several zones of one instance, which is told
 * by the last part of that string, are all welcome. Renews the expiry of the
 * node's stream. Not done after the deadline, by svc_now(). -1: not connected.
 */
int registry_register(registry_t *g, const Goim__Register *info,
    int64_t deadline, registry_pt cb, void *data);

int registry_deregister(registry_t *g, const char *server, const char *zone,
    registry_pt cb, void *data);


/* ---- counting (job) ---- */

/* n records were not appended for a server that has lapsed. The reply is
 * one for svc_redis_class(). -1: not connected. */
int registry_missed(registry_t *g, const char *server, size_t n,
    svc_redis_pt cb, void *data);


/* ---- reading (logic, job) ---- */

/*
 * Read the set (only its version when that did not change, wholly at least
 * once a renewal). 0: cb comes with `ok`; -1: not connected.
 *
 * ok is 0 when Redis did not answer, and also while the reader knew no node
 * and may not know all: while there is no registry yet, and in the first two
 * renewals of one that was lost, or of a run of Redis that found it on its
 * disk. The same step again later.
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

/* A number that grows whenever they may be others. */
uint64_t registry_made(registry_t *g);
const registry_node_t *registry_find(registry_t *g, const char *server);

/* Whether that set says how it is: Redis is there, and was read. */
int registry_current(registry_t *g);

/* The servers that have lapsed and may come back, sorted; as long. */
size_t registry_lapsed(registry_t *g, const char *const **servers);

/* The life of Redis in which all zones of the server have their rooms listed;
 * 0: there is none, it may have any room. */
uint64_t registry_rooms(registry_t *g, const char *server);

/* How many nodes count only because too many fell silent. */
size_t registry_silent(registry_t *g);

#endif
