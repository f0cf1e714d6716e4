/*
 * job: from the bus to the nodes' streams. A record's way through the files,
 * each of which knows those below it:
 *
 *     consume.c   taken from the bus, within the bound of memory
 *     number.c    items of rooms with history get their numbers
 *     step.c      what the script is given that does it
 *     history.c   which rooms have one, as it stands in Redis
 *     fanout.c    the set of nodes is read, the record's nodes found
 *     same.c      whether it is from a logic that has the same Redis
 *     rooms.c     which nodes have members of a room
 *     nodes.c     the set of nodes
 *     node.c      a queue a node, one append in flight
 *     record.c    PushMsg in, packed Delivery out
 *     list.c      messages in the order in which they were taken
 *     canary.c    whether what logic sends to see that it works comes
 *     im.c        messages between people, from another bus:
 *     im_check.c  in a database that is the one that it was,
 *     im_answer.c with what is answered;
 *     im_dead.c   what the database refuses is kept
 *     im_valid.c  those that are none are left out,
 *     im_exec.c   a batch of them is a transaction of the database
 *     im_group.c  what changes groups,
 *     im_own.c    what a member has for itself,
 *     im_place.c  up to where it goes,
 *     im_push.c   what is pushed to users and stored,
 *     im_write.c  items and inboxes,
 *     im_rows.c   of many rows each,
 *     im_sql.c    in statements;
 *     im_send.c   it is brought to the sessions of all members,
 *     im_offline.c  or noted for those who have none
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
#include "svc/here.h"
#include "svc/http.h"
#include "svc/metrics.h"
#include "svc/notify.h"
#include "svc/redis.h"
#include "svc/registry.h"

#include "history.h"
#include "list.h"
#include "number.h"
#include "place.h"
#include "record.h"
#include "step.h"

#define JOB_BATCH       (256 * 1024)    /* bytes an append, or one record */

#define JOB_RUNS        4

#define JOB_RETRY_MIN   50              /* ms, doubled up to */
#define JOB_RETRY_MAX   2000

typedef struct job_node_s   job_node_t;
typedef struct job_rooms_s  job_rooms_t;
typedef struct job_im_s     job_im_t;

typedef struct {
    bus_conf_t        bus;              /* first: see bus_conf_kafka() */
    svc_redis_conf_t  redis;
    const char       *log;
    const char       *log_level;
    char             *http;
    int64_t           drain;
    int64_t           max_unacked;
    int64_t           stream_maxlen;
    int64_t           ttl;
    int64_t           renew;
    history_t         history;
    char             *im_db;            /* "": no messages between people */
    char             *im_topic;
    char             *im_dead;          /* topic of what is given up */
    int64_t           offline_max;      /* noted; 0: none are */
} job_conf_t;

/* why an item has no number */
typedef enum {
    JOB_NONE_LOST,      /* its number is not known any more */
    JOB_NONE_PARTITION, /* it came in another partition than its room's */
    JOB_NONE_BUS,       /* another bus's jobs number */
    JOB_NONE_COUNT
} job_none_t;

typedef struct {
    metric_t  *records[3];              /* by Goim__PushMsg__Type */
    metric_t  *ends;
    metric_t  *canaries;
    metric_t  *skipped[JOB_BAD_COUNT];
    metric_t  *wrong_keys;
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
    metric_t  *steps;
    metric_t  *step_retries;
    metric_t  *numbered;
    metric_t  *repeats;
    metric_t  *stale;
    metric_t  *unnumbered[JOB_NONE_COUNT];
    metric_t  *history_replaced;
    metric_t  *replaced;
    metric_t  *lives;
    metric_t  *lag;
    metric_t  *owned;
    metric_t  *stuck;
    metric_t  *nodes, *nodes_silent, *nodes_lapsed, *nodes_listed;
    metric_t  *rooms, *spared;
    metric_t  *unacked;
    metric_t  *outstanding;
    metric_t  *paused;
    metric_t  *full;
    metric_t  *up;
    metric_t  *bus_up;
    metric_t  *no_logic;
    metric_t  *elsewhere;
    metric_t  *offline, *offline_dropped;
    metric_t  *other;
} job_metrics_t;

struct job_s {
    struct event_base  *base;
    const job_conf_t   *conf;
    svc_redis_t        *redis;
    registry_t         *registry;
    bus_consumer_t     *consumer;
    notify_t           *notify;
    job_metrics_t       m;
    http_server_t      *http;

    /* consume.c */
    job_place_t         place;
    size_t              used;           /* bytes not acknowledged */
    uint64_t            life;           /* of Redis; 0: never connected */
    unsigned            paused:1;
    unsigned            draining:1;
    unsigned            freeing:1;      /* the consumer gives its place up */
    void              (*eased)(job_t *job);     /* tells it that less is
                                           outstanding, or Redis is full */
    struct event       *end;

    /* same.c */
    here_t             *here;
    char                from[JOB_RUNS][HERE_FROM];  /* this one's, and those
                                           of earlier runs of its Redis */
    int64_t             elsewhere;      /* since when records wait, or 0 */
    char                why[256];

    /* canary.c */
    int64_t            *canary;         /* by partition: when one came last */
    size_t              ncanary;

    /* history.c, number.c */
    job_history_t       history;
    job_number_t        number;
    job_step_t          step;

    /* fanout.c */
    job_list_t          taken;          /* since the last registry_read() */
    job_list_t          asked;          /* before it */
    struct event       *turn;           /* at the end of this turn */
    struct event       *retry;
    struct event       *refresh;
    int64_t             delay;          /* ms, before the next retry */
    unsigned            reading:1;
    job_arena_t         arena;
    job_rooms_t        *rooms;          /* rooms.c */

    job_im_t           *im;             /* im.c; NULL: none */

    /* nodes.c, node.c */
    job_node_t        **nodes;          /* live and lapsed, by server */
    size_t              nnodes;
    size_t              nlive;
    size_t              size_nodes;
    size_t              inflight;       /* appends without an answer */
    size_t              full;           /* nodes refused with OOM */
    size_t              flight;         /* bytes of appends in flight */
    job_node_t         *turns;          /* wait until that is less */
    job_node_t         *turns_last;
    uint64_t            made;           /* registry_made() of it */
    uint64_t            pass;           /* of job_nodes_sync() */
    uint64_t            revokes;        /* grows with each revocation */
    uint64_t            purged;         /* revokes when queues were purged */
    uint8_t            *scratch;        /* where appends are packed */
    size_t              size_scratch;
};

#endif
