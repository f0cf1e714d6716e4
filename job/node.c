/*
 * The nodes: a queue each, and one append in flight.  What is for a node that
 * has lapsed takes the same way, but is only counted for it in Redis.
 *
 * Comets drop what they have seen by position, which is sound only because a
 * node's stream gets each partition's records strictly by offset. So there is
 * one append a node at a time: it takes all that waits (no delay at rest, big
 * entries under load), the next goes when it was acknowledged, and one that
 * failed or got no answer is repeated as it was before anything else goes.
 *
 * Records of a partition that was revoked meanwhile are left out of a repeat:
 * the next owner begins at or before them, and everything before them was
 * acknowledged, so whether they are in the stream or not, none is overtaken.
 */

#include "job.h"

#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"
#include "svc/stream.h"


#define JOB_RING       16           /* places of a new queue */
#define JOB_FLIGHT     (16 * 1024 * 1024)   /* bytes of appends in flight */
#define JOB_APPEND     4096         /* what one costs beside its bytes */
#define JOB_SCRATCH    (1024 * 1024)    /* kept between appends, at most */


struct job_node_s {
    job_t          *job;
    char           *server;
    struct event   *timer;

    job_msg_t     **ring;           /* the queue: [head, head + count) */
    size_t          size;           /* a power of two */
    size_t          head;
    size_t          count;
    size_t          sent;           /* of them, the append that was tried */

    uint64_t        pass;           /* when it was last seen in the registry */
    uint64_t        purged;         /* job->revokes, when last purged */
    int64_t         delay;          /* ms, before the next repeat */
    size_t          cost;           /* of the append in flight */
    job_node_t     *turn;           /* behind it in job->turns */

    unsigned        lapsed:1;       /* what is for it is counted, not sent */
    unsigned        ripe:1;         /* enough was gathered to be counted */
    unsigned        inflight:1;
    unsigned        queued:1;       /* in job->turns */
    unsigned        waiting:1;      /* before a repeat, or until it is ripe */
    unsigned        gone:1;         /* freed when the append is answered */
    unsigned        full:1;         /* Redis is, it said last */
};


static int job_node_sync(job_t *job, const char *server, int lapsed);
static job_node_t *job_node_new(job_t *job, const char *server);
static void job_node_free(job_node_t *node);
static void job_node_drop(job_node_t *node);
static size_t job_node_place(job_t *job, const char *server, int *found);
static void job_node_purge(job_node_t *node, size_t from);
static size_t job_node_choose(job_node_t *node, size_t *bytes);
static size_t job_node_pack(job_node_t *node, size_t n, size_t bytes);
static int job_node_append(job_node_t *node, size_t n, size_t bytes);
static int job_node_count(job_node_t *node, size_t n);
static void job_node_answer(svc_redis_t *r, redisReply *reply, void *data);
static void job_node_counted(svc_redis_t *r, redisReply *reply, void *data);
static void job_node_done(job_node_t *node, const redisReply *reply,
    metric_t *records);
static void job_node_acked(job_node_t *node, metric_t *records);
static void job_node_failed(job_node_t *node, const redisReply *reply,
    svc_redis_class_t class);
static void job_turns_next(job_t *job);
static void job_turns_remove(job_node_t *node);
static void job_node_full(job_node_t *node, int full);
static void job_node_wait(job_node_t *node);
static void job_node_timer(evutil_socket_t fd, short what, void *data);


/* ---- the set of nodes ---- */

void
job_nodes_sync(job_t *job)
{
    size_t                  i, n, j, live;
    job_node_t             *node;
    const char *const      *lapsed;
    const registry_node_t  *nodes;

    job->pass++;
    live = 0;

    n = registry_nodes(job->registry, &nodes);

    for (i = 0; i < n; i++) {
        live += (job_node_sync(job, nodes[i].server, 0) == 0);
    }

    n = registry_lapsed(job->registry, &lapsed);

    for (i = 0; i < n; i++) {
        (void) job_node_sync(job, lapsed[i], 1);
    }

    for (i = 0, j = 0; i < job->nnodes; i++) {
        node = job->nodes[i];

        if (node->pass == job->pass) {
            job->nodes[j++] = node;
            continue;
        }

        log_write(LOG_NOTICE, "node \"%s\": gone from the registry, %zu "
                  "records for it dropped", node->server, node->count);

        metrics_add(job->m.dropped, (int64_t) node->count);
        job_node_drop(node);

        if (node->inflight) {
            node->gone = 1;

        } else {
            job_node_free(node);
        }
    }

    job->nnodes = j;
    job->nlive = live;
    metrics_set(job->m.nodes, (int64_t) live);
    metrics_set(job->m.nodes_lapsed, (int64_t) (j - live));
    metrics_set(job->m.nodes_silent,
                (int64_t) registry_silent(job->registry));
}


/* The registry knows this one. */

static int
job_node_sync(job_t *job, const char *server, int lapsed)
{
    static log_once_t  once;

    int          found;
    size_t       i;
    job_node_t  *node;

    if (strlen(server) > GOIM_SERVER_MAX) {
        log_seldom(&once, LOG_ERROR, "node \"%.64s...\": its name is too "
                   "long, it gets nothing", server);
        return -1;
    }

    i = job_node_place(job, server, &found);

    if (!found) {
        if (job->nnodes == job->size_nodes) {
            job->size_nodes = job->size_nodes ? 2 * job->size_nodes : 16;
            job->nodes = job_realloc(job->nodes, job->size_nodes
                                                 * sizeof(job_node_t *));
        }

        memmove(job->nodes + i + 1, job->nodes + i,
                (job->nnodes - i) * sizeof(job_node_t *));

        job->nodes[i] = job_node_new(job, server);
        job->nodes[i]->lapsed = (unsigned) lapsed;
        job->nnodes++;

        if (!lapsed) {
            log_write(LOG_NOTICE, "node \"%s\": taken into the fan-out",
                      server);
        }
    }

    node = job->nodes[i];
    node->pass = job->pass;

    if (node->lapsed != (unsigned) lapsed) {
        node->lapsed = (unsigned) lapsed;

        log_write(LOG_NOTICE, lapsed ? "node \"%s\": not renewed in time, "
                  "what it misses is counted for it"
                  : "node \"%s\": renewed again, taken into the fan-out",
                  server);
    }

    return 0;
}


job_node_t *
job_node_find(job_t *job, const char *server)
{
    int     found;
    size_t  i;

    i = job_node_place(job, server, &found);

    return found ? job->nodes[i] : NULL;
}


static size_t
job_node_place(job_t *job, const char *server, int *found)
{
    int     rc;
    size_t  low, high, mid;

    low = 0;
    high = job->nnodes;
    *found = 0;

    while (low < high) {
        mid = low + (high - low) / 2;
        rc = strcmp(server, job->nodes[mid]->server);

        if (rc == 0) {
            *found = 1;
            return mid;
        }

        if (rc < 0) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    return low;
}


static job_node_t *
job_node_new(job_t *job, const char *server)
{
    size_t       len;
    job_node_t  *node;

    node = job_realloc(NULL, sizeof(job_node_t));
    memset(node, 0, sizeof(job_node_t));

    len = strlen(server) + 1;
    node->server = job_realloc(NULL, len);
    memcpy(node->server, server, len);

    node->job = job;
    node->purged = job->revokes;
    node->size = JOB_RING;
    node->ring = job_realloc(NULL, node->size * sizeof(job_msg_t *));

    node->timer = evtimer_new(job->base, job_node_timer, node);
    if (node->timer == NULL) {
        log_write(LOG_EMERG, "no memory for a timer");
        abort();
    }

    return node;
}


static void
job_node_free(job_node_t *node)
{
    job_node_full(node, 0);
    job_turns_remove(node);

    event_free(node->timer);
    free(node->server);
    free(node->ring);
    free(node);
}


void
job_nodes_free(job_t *job)
{
    size_t  i;

    for (i = 0; i < job->nnodes; i++) {
        job_node_drop(job->nodes[i]);
        job_node_free(job->nodes[i]);
    }

    free(job->nodes);
    free(job->scratch);

    job->nodes = NULL;
    job->nnodes = 0;
    job->scratch = NULL;
}


/* ---- a node's queue ---- */

void
job_node_push(job_node_t *node, job_msg_t *msg)
{
    size_t       i;
    job_msg_t  **ring;

    if (node->count == node->size) {
        ring = job_realloc(NULL, 2 * node->size * sizeof(job_msg_t *));

        for (i = 0; i < node->count; i++) {
            ring[i] = node->ring[(node->head + i) & (node->size - 1)];
        }

        free(node->ring);

        node->ring = ring;
        node->size *= 2;
        node->head = 0;
    }

    node->ring[(node->head + node->count++) & (node->size - 1)] = msg;

    msg->refs++;
    msg->pending++;
    node->job->used += sizeof(job_msg_t *);
}


/* Everything that waits counts as done for this node. */

static void
job_node_drop(job_node_t *node)
{
    size_t      i, count, head;
    job_msg_t  *msg;

    head = node->head;
    count = node->count;

    node->count = 0;
    node->sent = 0;
    node->job->used -= count * sizeof(job_msg_t *);

    for (i = 0; i < count; i++) {
        msg = node->ring[(head + i) & (node->size - 1)];

        job_place_ack(&node->job->place, msg);
        job_msg_unref(msg);
    }
}


/* Forget revoked messages from the queue's place `from` on. */

static void
job_node_purge(job_node_t *node, size_t from)
{
    size_t      i, kept, sent, mask;
    job_msg_t  *msg;

    mask = node->size - 1;
    kept = from;
    sent = node->sent;

    for (i = from; i < node->count; i++) {
        msg = node->ring[(node->head + i) & mask];

        if (msg->part != NULL) {
            node->ring[(node->head + kept++) & mask] = msg;
            continue;
        }

        if (i < sent) {
            node->sent--;
        }

        job_msg_unref(msg);
    }

    node->job->used -= (node->count - kept) * sizeof(job_msg_t *);
    node->count = kept;
}


void
job_nodes_purge(job_t *job)
{
    size_t       i;
    job_node_t  *node;

    for (i = 0; i < job->nnodes; i++) {
        node = job->nodes[i];

        if (node->purged == job->revokes) {
            continue;
        }

        if (node->inflight) {

            /* the rest before a repeat */

            job_node_purge(node, node->sent);
            continue;
        }

        job_node_purge(node, 0);
        node->purged = job->revokes;
    }
}


/* ---- whose turn it is ---- */

/*
 * A thousand nodes with something to say at once, that is hundreds of
 * megabytes to pack and to send before the loop sees anything else. So many
 * bytes are in flight at most; who waits goes when an answer has come.
 */

static void
job_turns_add(job_node_t *node)
{
    job_t  *job;

    job = node->job;

    if (node->queued) {
        return;
    }

    node->queued = 1;
    node->turn = NULL;

    if (job->turns == NULL) {
        job->turns = node;

    } else {
        job->turns_last->turn = node;
    }

    job->turns_last = node;
}


static void
job_turns_next(job_t *job)
{
    job_node_t  *node;

    while (job->turns != NULL && job->flight < JOB_FLIGHT) {
        node = job->turns;

        job->turns = node->turn;
        node->queued = 0;

        job_node_send(node);
    }
}


static void
job_turns_remove(job_node_t *node)
{
    job_t        *job;
    job_node_t   *last, **place;

    if (!node->queued) {
        return;
    }

    job = node->job;
    last = NULL;

    for (place = &job->turns; *place != node; place = &(*place)->turn) {
        last = *place;
    }

    *place = node->turn;
    node->queued = 0;

    if (job->turns_last == node) {
        job->turns_last = last;
    }
}


/* ---- the append ---- */

void
job_nodes_send(job_t *job, int up)
{
    size_t       i;
    job_node_t  *node;

    for (i = 0; i < job->nnodes; i++) {
        node = job->nodes[i];

        if (up && node->waiting) {
            evtimer_del(node->timer);
            node->waiting = 0;
        }

        if (node->count > 0) {
            job_node_send(node);
        }
    }
}


void
job_node_send(job_node_t *node)
{
    size_t   n, len;
    job_t   *job;

    job = node->job;

    if (node->inflight || node->waiting || job->draining) {
        return;
    }

    if (job->flight >= JOB_FLIGHT) {
        job_turns_add(node);
        return;
    }

    if (node->purged != job->revokes) {
        job_node_purge(node, 0);
        node->purged = job->revokes;
    }

    if (node->count == 0) {
        return;
    }

    /* a number is no hurry: one command for what comes in a moment */

    if (node->lapsed && !node->ripe) {
        node->ripe = 1;
        node->waiting = 1;
        svc_timer(node->timer, JOB_RETRY_MIN);
        return;
    }

    n = job_node_choose(node, &len);

    if (n == 0) {
        node->waiting = 1;
        svc_timer(node->timer, JOB_RETRY_MIN);
        return;
    }

    if ((node->lapsed ? job_node_count(node, n) : job_node_append(node, n, len))
        != 0)
    {
        /* job_nodes_send() comes when the connection is there */

        if (svc_redis_is_up(job->redis)) {
            job_node_wait(node);
        }

        return;
    }

    node->sent = n;
    node->ripe = 0;
    node->cost = len + JOB_APPEND;
    node->inflight = 1;
    job->inflight++;
    job->flight += node->cost;
}


static int
job_node_append(job_node_t *node, size_t n, size_t bytes)
{
    size_t   len;
    job_t   *job;

    job = node->job;
    len = job_node_pack(node, n, bytes);

    if (svc_stream_append(job->redis, node->server,
                          (size_t) job->conf->stream_maxlen, job->scratch,
                          len, job_node_answer, node)
        != 0)
    {
        return -1;
    }

    metrics_add(job->m.appends, 1);

    return 0;
}


/* A node that has lapsed is told how much it missed, should it come back. */

static int
job_node_count(job_node_t *node, size_t n)
{
    return registry_missed(node->job->registry, node->server, n,
                           job_node_counted, node);
}


/*
 * How many messages the next append takes, and their bytes: those of the one
 * that failed, or as many as wait and fit. 0: not now.
 *
 * A process that was stopped for long may have lost partitions to another
 * before it is told: what is not surely its own waits until it is revoked.
 */

static size_t
job_node_choose(job_node_t *node, size_t *bytes)
{
    int             all;
    size_t          n, limit;
    int64_t         held;
    job_msg_t      *msg;

    all = (node->sent > 0);
    limit = all ? node->sent : node->count;
    held = -1;
    *bytes = 0;

    for (n = 0; n < limit; n++) {
        msg = node->ring[(node->head + n) & (node->size - 1)];

        if ((int64_t) msg->partition != held) {
            if (!bus_consumer_holds(node->job->consumer, msg->partition)) {
                break;
            }

            held = msg->partition;
        }

        if (!all && n > 0 && *bytes + msg->len > JOB_BATCH) {
            break;
        }

        *bytes += msg->len;
    }

    return all && n < limit ? 0 : n;
}


/* The first n messages, of so many bytes, to job->scratch; its length. */

static size_t
job_node_pack(job_node_t *node, size_t n, size_t bytes)
{
    size_t            i, len, total;
    job_t            *job;
    uint8_t          *p;
    job_msg_t        *msg;
    Goim__Delivery    delivery = GOIM__DELIVERY__INIT;

    job = node->job;

    delivery.epoch.data = (uint8_t *)
                          bus_consumer_epoch(job->consumer, &len);
    delivery.epoch.len = len;

    total = bytes + goim__delivery__get_packed_size(&delivery);

    if (total > job->size_scratch
        || (job->size_scratch > JOB_SCRATCH && total <= JOB_SCRATCH))
    {
        free(job->scratch);

        job->size_scratch = total > JOB_BATCH ? total : JOB_BATCH;
        job->scratch = job_realloc(NULL, job->size_scratch);
    }

    p = job->scratch;
    p += goim__delivery__pack(&delivery, p);

    for (i = 0; i < n; i++) {
        msg = node->ring[(node->head + i) & (node->size - 1)];

        memcpy(p, msg->data, msg->len);
        p += msg->len;
    }

    return total;
}


static void
job_node_answer(svc_redis_t *r, redisReply *reply, void *data)
{
    job_node_t  *node = data;

    (void) r;

    if (svc_redis_class(reply) == SVC_REDIS_OK
        && reply->type == REDIS_REPLY_ARRAY)
    {
        log_write(LOG_ERROR, "node \"%s\": its stream's key was not a "
                  "stream, replaced", node->server);
        metrics_add(node->job->m.replaced, 1);
    }

    job_node_done(node, reply, node->job->m.appended);
}


static void
job_node_counted(svc_redis_t *r, redisReply *reply, void *data)
{
    job_node_t  *node = data;

    (void) r;

    job_node_done(node, reply, node->job->m.missed);
}


static void
job_node_done(job_node_t *node, const redisReply *reply, metric_t *records)
{
    job_t              *job;
    svc_redis_class_t   class;

    job = node->job;

    node->inflight = 0;
    job->inflight--;
    job->flight -= node->cost;

    class = svc_redis_class(reply);

    if (node->gone) {
        job_node_free(node);

    } else if (class == SVC_REDIS_OK) {
        job_node_acked(node, records);

    } else {
        job_node_failed(node, reply, class);
    }

    if (job->draining) {
        job_consume_drained(job);

    } else {
        job_turns_next(job);
    }
}


static void
job_node_acked(job_node_t *node, metric_t *records)
{
    size_t      i, sent, head, mask, bytes;
    job_t      *job;
    job_msg_t  *msg;

    job = node->job;
    mask = node->size - 1;
    head = node->head;
    sent = node->sent;
    bytes = 0;

    node->head = (head + sent) & mask;
    node->count -= sent;
    node->sent = 0;
    node->delay = 0;
    job->used -= sent * sizeof(job_msg_t *);

    for (i = 0; i < sent; i++) {
        msg = node->ring[(head + i) & mask];
        bytes += msg->len;

        job_place_ack(&job->place, msg);
        job_msg_unref(msg);
    }

    job_node_full(node, 0);

    metrics_add(records, (int64_t) sent);

    if (records == job->m.appended) {
        metrics_add(job->m.bytes, (int64_t) bytes);
    }

    job_node_send(node);
    job_consume_relieve(job);
}


static void
job_node_failed(job_node_t *node, const redisReply *reply,
    svc_redis_class_t class)
{
    static log_once_t  refused, lost;

    metrics_add(node->job->m.retries, 1);

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        job_node_full(node, strncmp(reply->str, "OOM", 3) == 0);

        log_seldom(&refused,
                   class == SVC_REDIS_ERROR ? LOG_ERROR : LOG_WARN,
                   "node \"%s\": append refused: %.*s; trying again",
                   node->server, (int) reply->len, reply->str);

    } else {
        log_seldom(&lost, LOG_WARN, "node \"%s\": no answer to an append; "
                   "trying again", node->server);
    }

    job_node_wait(node);
}


/* The bus waits until each node's append is taken again. */

static void
job_node_full(job_node_t *node, int full)
{
    job_t  *job;

    job = node->job;

    if (node->full != full) {
        node->full = full;

        if (full) {
            job->full++;
            job_consume_press(job);

        } else {
            job->full--;
            job_consume_relieve(job);
        }
    }
}


static void
job_node_wait(job_node_t *node)
{
    node->delay = node->delay ? 2 * node->delay : JOB_RETRY_MIN;

    if (node->delay > JOB_RETRY_MAX) {
        node->delay = JOB_RETRY_MAX;
    }

    node->waiting = 1;
    svc_timer(node->timer, node->delay);
}


static void
job_node_timer(evutil_socket_t fd, short what, void *data)
{
    job_node_t  *node = data;

    (void) fd;
    (void) what;

    node->waiting = 0;
    job_node_send(node);
}
