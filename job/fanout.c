/*
 * From the records taken to the nodes concerned.
 *
 * A comet answers no auth before its registration is confirmed, and the set
 * of nodes is read after the records were taken: a session that was there
 * when a push was accepted is on a node that is in this set. So each group of
 * records waits for one reading (of the set's version, as a rule), and what
 * comes meanwhile makes up the next group. After that the nodes of their rooms
 * are looked up (rooms.c).
 */

#include "canary.h"
#include "fanout.h"

#include <stdlib.h>

#include "list.h"
#include "node.h"
#include "nodes.h"
#include "rooms.h"
#include "same.h"

#include "svc/clock.h"
#include "svc/log.h"


#define JOB_FANOUT_LOOK  400        /* ms: the set of nodes is not known yet */


static void job_fanout_turn(evutil_socket_t fd, short what, void *data);
static void job_fanout_ask(job_t *job);
static void job_fanout_again(job_t *job, int64_t max);
static void job_fanout_read(registry_t *g, int ok, void *data);
static void job_fanout_roomed(job_t *job, int ok);
static void job_fanout_hand(job_t *job);
static int job_fanout_msg(job_t *job, job_msg_t *msg);
static int job_fanout_nodes(job_t *job, const Goim__PushMsg *push,
    job_node_t ***nodes, size_t *n);
static size_t job_fanout_node(job_t *job, const Goim__PushMsg *push,
    job_node_t ***nodes);
static uint64_t job_fanout_sessions(job_t *job, const Goim__PushMsg *push);
static void job_fanout_retry(evutil_socket_t fd, short what, void *data);


int
job_fanout_init(job_t *job)
{
    job_list_init(&job->taken);
    job_list_init(&job->asked);
    job_arena_init(&job->arena);

    job->turn = event_new(job->base, -1, 0, job_fanout_turn, job);
    job->retry = evtimer_new(job->base, job_fanout_retry, job);
    job->refresh = event_new(job->base, -1, EV_PERSIST, job_fanout_retry,
                             job);

    if (job->turn == NULL || job->retry == NULL || job->refresh == NULL
        || job_rooms_init(job) != 0)
    {
        return -1;
    }

    /* at rest: to drop what waits for nodes that are gone */

    svc_timer(job->refresh, job->conf->renew);

    return 0;
}


void
job_fanout_free(job_t *job)
{
    job_list_free(&job->taken);
    job_list_free(&job->asked);
    job_arena_free(&job->arena);
    job_rooms_free(job);

    event_free(job->turn);
    event_free(job->retry);
    event_free(job->refresh);
}


/* ---- reading the set of nodes ---- */

void
job_fanout_take(job_t *job, job_msg_t *msg)
{
    job_list_push(&job->taken, msg);

    /* once for all that the bus gives in this turn of the loop */

    event_active(job->turn, EV_TIMEOUT, 0);
}


void
job_fanout_purge(job_t *job)
{
    job->revokes++;

    event_active(job->turn, EV_TIMEOUT, 0);
}


void
job_fanout_up(job_t *job)
{
    evtimer_del(job->retry);
    job->delay = 0;

    job_fanout_ask(job);
}


static void
job_fanout_turn(evutil_socket_t fd, short what, void *data)
{
    job_t  *job = data;

    (void) fd;
    (void) what;

    if (job->purged != job->revokes) {
        job->purged = job->revokes;

        job_list_purge(&job->taken);
        job_list_purge(&job->asked);
        job_nodes_purge(job);
        job->eased(job);
    }

    /* after a refusal the timer says when */

    if (job->taken.head != NULL && !evtimer_pending(job->retry, NULL)) {
        job_fanout_ask(job);
    }
}


static void
job_fanout_ask(job_t *job)
{
    if (job->reading || job->draining) {
        return;
    }

    /* what was refused before and what came since */

    job_list_join(&job->asked, &job->taken);

    job->reading = 1;

    if (registry_read(job->registry, job_fanout_read, job) != 0) {
        job->reading = 0;

        job_fanout_again(job, JOB_RETRY_MAX);
    }
}


static void
job_fanout_again(job_t *job, int64_t max)
{
    job->delay = job->delay ? 2 * job->delay : JOB_RETRY_MIN;

    if (job->delay > max) {
        job->delay = max;
    }

    svc_timer(job->retry, job->delay);
}


static void
job_fanout_retry(evutil_socket_t fd, short what, void *data)
{
    job_t  *job = data;

    (void) fd;
    (void) what;

    job_fanout_ask(job);
}


static void
job_fanout_read(registry_t *g, int ok, void *data)
{
    job_t  *job = data;

    static log_once_t   held;

    (void) g;

    job->reading = 0;

    if (job->draining) {
        return;
    }

    if (!ok) {
        if (job->asked.head != NULL) {
            log_seldom(&held, LOG_WARN, "the set of nodes is not known: "
                       "records wait");
            metrics_add(job->m.held, 1);
        }

        job_fanout_again(job, JOB_FANOUT_LOOK);
        return;
    }

    job_nodes_sync(job);

    if (job->asked.head != NULL) {
        metrics_add(job->m.batches, 1);
    }

    switch (job_rooms_ask(job, job->asked.head, job_fanout_roomed)) {

    case 0:
        job_fanout_hand(job);
        break;

    case 1:
        job->reading = 1;
        break;

    default:
        job_fanout_again(job, JOB_FANOUT_LOOK);
    }
}


static void
job_fanout_roomed(job_t *job, int ok)
{
    static log_once_t  held;

    job->reading = 0;

    if (job->draining) {
        return;
    }

    if (ok) {
        job_fanout_hand(job);
        return;
    }

    log_seldom(&held, LOG_WARN, "the nodes of rooms are not known: records "
               "wait");
    metrics_add(job->m.held, 1);

    job_fanout_again(job, JOB_FANOUT_LOOK);
}


/* Those that were asked for, or as many of them as there is an answer for. */

static void
job_fanout_hand(job_t *job)
{
    job_msg_t  *msg;

    job->delay = 0;

    while ((msg = job->asked.head) != NULL) {

        if (msg->part != NULL && job_fanout_msg(job, msg) != 0) {
            break;
        }

        job->asked.head = msg->link;

        if (msg->link == NULL) {
            job_list_init(&job->asked);
        }

        job_msg_unref(msg);
    }

    job_nodes_send(job, 0);
    job->eased(job);

    if ((job->asked.head != NULL || job->taken.head != NULL)
        && !evtimer_pending(job->retry, NULL))
    {
        job_fanout_ask(job);
    }
}


/* ---- one record ---- */

/* -1: it waits, and so does what is behind it: for the timer, or until the nodes
 * of its room are looked up. */

static int
job_fanout_msg(job_t *job, job_msg_t *msg)
{
    int              canary;
    size_t           i, n, len;
    uint8_t         *data;
    job_bad_t        bad;
    job_node_t     **nodes;
    Goim__PushMsg   *push;

    if (!job_same(job, msg)) {
        svc_timer(job->retry, JOB_FANOUT_LOOK);
        return -1;
    }

    bad = job_record_parse(&job->arena, msg->data, msg->len, &push);

    if (bad != JOB_GOOD) {
        job_fanout_skipped(job, bad, msg->partition, &msg->offset);
        job_place_ack(&job->place, msg);
        return 0;
    }

    if (job_fanout_nodes(job, push, &nodes, &n) != 0) {
        return -1;
    }

    canary = push->type == GOIM__PUSH_MSG__TYPE__CANARY;

    if (canary) {
        job_canary_came(job, msg->partition);

    } else if (push->type == GOIM__PUSH_MSG__TYPE__END) {
        metrics_add(job->m.ends, 1);

    } else {
        metrics_add(job->m.records[push->type], 1);
        metrics_add(job->m.wrong_keys, (int64_t) job_record_wrong(push));
    }

    if (n > 0) {
        bad = job_record_pack(&job->arena, push, msg, job->nlive,
                              job_fanout_sessions(job, push), &data, &len);
        if (bad != JOB_GOOD) {
            job_fanout_skipped(job, bad, msg->partition, &msg->offset);
            job_place_ack(&job->place, msg);
            return 0;
        }

        job_msg_set(msg, data, len);
    }

    for (i = 0; i < n; i++) {

        /* a node that has lapsed misses nothing by a canary */

        if (!canary || !nodes[i]->lapsed) {
            job_node_push(nodes[i], msg);
        }
    }

    job_place_ack(&job->place, msg);

    return 0;
}


void
job_fanout_skipped(job_t *job, job_bad_t bad, uint32_t partition,
    const goim_offset_t *offset)
{
    static log_once_t  once;

    uint64_t  high, low;

    metrics_add(job->m.skipped[bad], 1);

    goim_offset_get(offset, &high, &low);

    log_seldom(&once, LOG_ERROR, "partition %u, offset %llu-%llu: wrong "
               "record skipped: %s", partition, (unsigned long long) high,
               (unsigned long long) low, job_bad_reasons[bad]);
}


/* Connections of all nodes, which share a broadcast's speed. */

static uint64_t
job_fanout_sessions(job_t *job, const Goim__PushMsg *push)
{
    size_t                  i, j, n;
    uint64_t                sum;
    const registry_node_t  *nodes;

    if (push->type != GOIM__PUSH_MSG__TYPE__BROADCAST || push->speed <= 0) {
        return 0;
    }

    sum = 0;
    n = registry_nodes(job->registry, &nodes);

    for (i = 0; i < n; i++) {
        for (j = 0; j < nodes[i].zones; j++) {
            sum += nodes[i].zone[j]->info->conn_count;
        }
    }

    return sum;
}


/* The nodes that the record goes to. -1: they were not looked up yet. */

static int
job_fanout_nodes(job_t *job, const Goim__PushMsg *push, job_node_t ***nodes,
    size_t *n)
{
    static log_once_t  none;

    if (push->type == GOIM__PUSH_MSG__TYPE__PUSH) {
        *n = job_fanout_node(job, push, nodes);
        return 0;
    }

    *nodes = job->nodes;
    *n = job->nnodes;

    if (push->type == GOIM__PUSH_MSG__TYPE__ROOM
        && job_rooms_nodes(job, push->room, nodes, n) != 0)
    {
        return -1;
    }

    if (job->nlive == 0 && push->type != GOIM__PUSH_MSG__TYPE__CANARY) {
        metrics_add(job->m.no_nodes, 1);
        log_seldom(&none, LOG_WARN, "no node is registered: records "
                   "for rooms and for all reach nobody");
    }

    return 0;
}


static size_t
job_fanout_node(job_t *job, const Goim__PushMsg *push, job_node_t ***nodes)
{
    static log_once_t   unknown;
    static job_node_t  *node;

    log_text_t  t;

    node = job_nodes_find(job, push->server);
    *nodes = &node;

    if (node == NULL) {
        metrics_add(job->m.unknown_node, 1);
        log_seldom(&unknown, LOG_WARN, "node \"%s\" is not registered: "
                   "records for it are undeliverable",
                   log_text(&t, push->server));
    }

    return node != NULL;
}
