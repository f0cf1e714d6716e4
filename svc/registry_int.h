/*
 * What the files of the registry's reader share.
 */

#ifndef SVC_REGISTRY_INT_H
#define SVC_REGISTRY_INT_H

#include "registry.h"
#include "metrics.h"

#define REGISTRY_FORGET  3600000    /* ms: kept at most without a renewal */


/* A zone of a node: a field of the hash. */
typedef struct {
    Goim__Node  *node;
    int64_t      noticed;       /* when a renewal was seen last */
    int          live;          /* it counts */
    int          was_live;
    int          renewed;       /* in time */
    int          left;          /* it says so itself */
} registry_zone_t;

typedef struct registry_wait_s {
    struct registry_wait_s  *next;
    registry_read_pt         cb;
    void                    *data;
} registry_wait_t;

struct registry_s {
    struct event_base   *base;
    svc_redis_t         *r;
    char                *key;
    char                *version_key;
    int64_t              ttl;
    int64_t              renew;
    int64_t              start;

    registry_zone_t     *zones;         /* by server, zone */
    size_t               nzones;
    registry_node_t     *nodes;         /* by server: what registry_nodes()
                                           answers */
    const Goim__Node   **live;          /* what the nodes point into */
    size_t               nnodes;
    size_t               nsilent;       /* of them, kept all the same */
    const char         **lapsed;        /* servers, sorted */
    size_t               nlapsed;

    char                 version[32];   /* of the last whole reading */
    char                 pending[32];   /* of the one under way */
    char                 created[32];
    uint64_t             made;          /* how often that was made */
    int64_t              read_at;       /* the last whole reading; 0: never */
    uint64_t             read_life;
    uint64_t             redis_now;     /* ms, by Redis's clock */
    int                  settled;       /* an absence means something */
    metric_t            *broken;

    int                  reading;
    int                  freed;
    registry_wait_t     *now;           /* wait for the reading under way */
    registry_wait_t     *later;         /* asked after it had begun */
};


/* ---- registry_view.c ---- */

/* since when renewals can be seen: from this reader's start, with Redis */
int64_t registry_from(registry_t *g);

/* whether a node's time is up: who else is late is to be read first */
int registry_due(registry_t *g);

/* make the set of nodes that count now */
void registry_view(registry_t *g);

#endif
