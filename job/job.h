/*
 * job: from the bus to the nodes' streams. A record's way through the files:
 *
 *     consume.c   taken from the bus, within the bound of memory
 *     fanout.c    the set of nodes is read, the record's nodes found
 *     record.c    PushMsg in, packed Delivery out
 *     node.c      a queue a node, one append in flight
 *     place.c     acknowledged by all its nodes: the partition's place moves
 *
 * Everything runs on one event loop.
 */

#ifndef JOB_H
#define JOB_H

#include <event2/event.h>

#include <stddef.h>
#include <stdint.h>

#include "common/goim_position.h"
#include "proto/goim.pb-c.h"
#include "svc/bus.h"
#include "svc/metrics.h"
#include "svc/redis.h"
#include "svc/registry.h"

#include "place.h"
#include "record.h"

#define JOB_BATCH       (256 * 1024)    /* bytes an append, or one record */

#define JOB_RETRY_MIN   50              /* ms, doubled up to */
#define JOB_RETRY_MAX   2000

typedef struct job_node_s  job_node_t;

typedef struct {
    bus_conf_t        bus;              /* first: see bus_conf_kafka() */
    svc_redis_conf_t  redis;
    const char       *log;
    const char       *log_level;
    char             *http;
    int64_t           drain;
    int64_t           max_unacked;
    int64_t           max_record;
    int64_t           stream_maxlen;
    int64_t           ttl;
    int64_t           renew;
} job_conf_t;

typedef struct {
    metric_t  *records[3];              /* by Goim__PushMsg__Type */
    metric_t  *skipped[JOB_BAD_COUNT];
    metric_t  *unknown_node;
    metric_t  *no_nodes;
    metric_t  *dropped;
    metric_t  *missed;
    metric_t  *revoked;
    metric_t  *batches;
    metric_t  *held;
    metric_t  *appends;
    metric_t  *appended;
    metric_t  *bytes;
    metric_t  *retries;
    metric_t  *replaced;
    metric_t  *lives;
    metric_t  *lag;
    metric_t  *owned;
    metric_t  *nodes, *nodes_silent, *nodes_lapsed;
    metric_t  *unacked;
    metric_t  *outstanding;
    metric_t  *paused;
    metric_t  *full;
    metric_t  *up;
    metric_t  *bus_up;
} job_metrics_t;

/* Messages in the order in which they were taken, one reference each. */
typedef struct {
    job_msg_t  *head;
    job_msg_t **tail;
} job_list_t;

typedef struct {
    struct event_base  *base;
    const job_conf_t   *conf;
    svc_redis_t        *redis;
    registry_t         *registry;
    bus_consumer_t     *consumer;
    job_metrics_t       m;
    struct evhttp      *http;

    /* consume.c */
    job_place_t         place;
    size_t              used;           /* bytes not acknowledged */
    uint64_t            life;           /* of Redis; 0: never connected */
    unsigned            paused:1;
    unsigned            draining:1;
    unsigned            freeing:1;      /* the consumer gives its place up */
    struct event       *end;

    /* fanout.c */
    job_list_t          taken;          /* since the last registry_read() */
    job_list_t          asked;          /* before it */
    struct event       *turn;           /* at the end of this turn */
    struct event       *retry;
    struct event       *refresh;
    int64_t             delay;          /* ms, before the next retry */
    unsigned            reading:1;
    job_arena_t         arena;

    /* node.c */
    job_node_t        **nodes;          /* live and lapsed, by server */
    size_t              nnodes;
    size_t              nlive;
    size_t              size_nodes;
    size_t              inflight;       /* appends without an answer */
    size_t              full;           /* nodes refused with OOM */
    size_t              flight;         /* bytes of appends in flight */
    job_node_t         *turns;          /* wait until that is less */
    job_node_t         *turns_last;
    uint64_t            pass;           /* of job_nodes_sync() */
    uint64_t            revokes;        /* grows with each revocation */
    uint64_t            purged;         /* revokes when queues were purged */
    uint8_t            *scratch;        /* where appends are packed */
    size_t              size_scratch;
} job_t;


/* ---- consume.c ---- */

/* -1 with a message */
int job_consume_start(job_t *job, char *err, size_t size);

/* A wrong record: counted and, not too often, said. */
void job_consume_skipped(job_t *job, job_bad_t bad, uint32_t partition,
    const goim_offset_t *offset);

/* hold back when too much is outstanding or Redis is full */
void job_consume_press(job_t *job);

/* memory went back, or may have: take records again */
void job_consume_relieve(job_t *job);

/* Redis is there, perhaps another run of it */
void job_consume_up(job_t *job);

/* stop; svc_loop_done() when the place is saved and given up */
void job_consume_drain(job_t *job);

/* what was outstanding was answered while draining */
void job_consume_drained(job_t *job);

void job_consume_stop(job_t *job);


/* ---- fanout.c ---- */

int job_fanout_init(job_t *job);
void job_fanout_free(job_t *job);

/* job takes over the caller's reference */
void job_fanout_take(job_t *job, job_msg_t *msg);

/* revoked messages in the queues: forget them at the end of this turn */
void job_fanout_purge(job_t *job);

/* Redis is there again: do not wait for the timer */
void job_fanout_up(job_t *job);


/* ---- node.c ---- */

/* Make the nodes those of the registry. What waits for others is dropped. */
void job_nodes_sync(job_t *job);

job_node_t *job_node_find(job_t *job, const char *server);

/* Queue a packed message for the node: one more in msg->pending, and a
 * reference. */
void job_node_push(job_node_t *node, job_msg_t *msg);

/* Start the node's next append unless one is in flight. */
void job_node_send(job_node_t *node);

/* The same for all nodes; up: also those that wait before a repeat. */
void job_nodes_send(job_t *job, int up);

/* Forget revoked messages, but for those in flight. */
void job_nodes_purge(job_t *job);

void job_nodes_free(job_t *job);


/* ---- http.c ---- */

/* "" for none, else host:port */
int job_http_check(const char *addr, char *err, size_t size);

int job_http_start(job_t *job, char *err, size_t size);
void job_http_stop(job_t *job);

#endif
