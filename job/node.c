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

#include "node.h"

#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"
#include "svc/stream.h"


#define JOB_RING       16           /* places of a new queue */
#define JOB_FLIGHT     (16 * 1024 * 1024)   /* bytes of appends in flight */
#define JOB_APPEND     4096         /* what one costs beside its bytes */
#define JOB_SCRATCH    (1024 * 1024)    /* kept between appends, at most */


static void job_node_cut(job_node_t *node, size_t from);
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


job_node_t *
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


void
job_node_free(job_node_t *node)
{
    job_node_full(node, 0);
    job_turns_remove(node);

    event_free(node->timer);
    free(node->server);
    free(node->ring);
    free(node);
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


void
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
job_node_cut(job_node_t *node, size_t from)
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
job_node_purge(job_node_t *node)
{
    if (node->purged == node->job->revokes) {
        return;
    }

    if (node->inflight) {

        /* the rest before a repeat */

        job_node_cut(node, node->sent);
        return;
    }

    job_node_cut(node, 0);
    node->purged = node->job->revokes;
}


/* ---- whose turn it is ---- */

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

    job_node_purge(node);

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

    log_text_t  t;

    (void) r;

    if (svc_redis_class(reply) == SVC_REDIS_OK
        && reply->type == REDIS_REPLY_ARRAY)
    {
        log_write(LOG_ERROR, "node \"%s\": its stream's key was not a "
                  "stream, replaced", log_text(&t, node->server));
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

    job_turns_next(job);
    job->eased(job);
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
}


static void
job_node_failed(job_node_t *node, const redisReply *reply,
    svc_redis_class_t class)
{
    static log_once_t  refused, lost;

    log_text_t  t, why;

    metrics_add(node->job->m.retries, 1);

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        job_node_full(node, strncmp(reply->str, "OOM", 3) == 0);

        log_seldom(&refused,
                   class == SVC_REDIS_ERROR ? LOG_ERROR : LOG_WARN,
                   "node \"%s\": append refused: %s; trying again",
                   log_text(&t, node->server), log_text(&why, reply->str));

    } else {
        log_seldom(&lost, LOG_WARN, "node \"%s\": no answer to an append; "
                   "trying again", log_text(&t, node->server));
    }

    job_node_wait(node);
}


/* Nothing is taken from the bus until each node's append is again. */

static void
job_node_full(job_node_t *node, int full)
{
    if (node->full != full) {
        node->full = full;
        node->job->full += full ? 1 : -1;
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
