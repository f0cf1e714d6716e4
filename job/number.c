/*
 * Numbers for the items of rooms with history.
 *
 * A partition has one step in flight: all that waits, up to a bound, in one
 * script that numbers and stores the items among it. Behind it everything, of
 * rooms without history too, goes on in its order; so no record reaches a
 * node before all before it in its partition have their numbers. The set of
 * nodes is read after that (fanout.c).
 *
 * A step that failed or got no answer is done once more: what was numbered is
 * found by its position.
 *
 * Which rooms have a history may change, or be known to another job that had
 * the partition before. So a partition begins with a step, with or without
 * items, each time that it was taken and that [history] is another one: it is
 * refused to who does not know it as it stands, and says by what the partition
 * goes from then on. Before that no room of it begins an epoch (read.lua).
 */

#include "number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanout.h"
#include "job.h"
#include "step.h"

#include "svc/clock.h"
#include "svc/log.h"


#define JOB_STEP_BYTES  (1024 * 1024)   /* of items; or one */
#define JOB_TIDY        10000           /* ms */


struct job_number_part_s {
    job_t          *job;
    uint32_t        partition;
    job_list_t      waiting;
    job_list_t      asked;          /* the step in flight */
    size_t          nitems;         /* of them */
    struct event   *timer;          /* before a repeat */
    int64_t         delay;
    uint32_t        version;        /* of [history], by which it goes; 0: it was
                                       not said since it was taken */
    uint32_t        saying;         /* the step in flight says this one */
    unsigned        inflight:1;
    unsigned        full:1;         /* Redis is, it said last */
};


static job_number_part_t *job_number_part(job_t *job, uint32_t partition);
static void job_number_learnt(job_t *job);
static void job_number_turn(evutil_socket_t fd, short what, void *data);
static int job_number_said(const job_number_part_t *part);
static void job_number_go(job_number_part_t *part);
static size_t job_number_gather(job_number_part_t *part);
static int job_number_step(job_number_part_t *part);
static void job_number_answer(svc_redis_t *r, redisReply *reply, void *data);
static int job_number_fits(const job_number_part_t *part,
    const redisReply *reply);
static void job_number_answered(job_number_part_t *part,
    const redisReply *reply);
static void job_number_judged(job_t *job, job_msg_t *msg, int64_t seq,
    const redisReply *epoch);
static void job_number_failed(job_number_part_t *part,
    const redisReply *reply);
static void job_number_back(job_number_part_t *part);
static void job_number_wait(job_number_part_t *part);
static void job_number_full(job_number_part_t *part, int full);
static void job_number_timer(evutil_socket_t fd, short what, void *data);
static void job_number_tidy(evutil_socket_t fd, short what, void *data);


int
job_number_init(job_t *job)
{
    job_number_t  *num;

    num = &job->number;

    num->turn = event_new(job->base, -1, 0, job_number_turn, job);
    num->tidy = event_new(job->base, -1, EV_PERSIST, job_number_tidy, job);

    if (num->turn == NULL || num->tidy == NULL) {
        return -1;
    }

    svc_timer(num->tidy, JOB_TIDY);

    job->history.learnt = job_number_learnt;

    return 0;
}


void
job_number_free(job_t *job)
{
    size_t              i;
    job_number_t       *num;
    job_number_part_t  *part;

    num = &job->number;

    for (i = 0; i < num->nparts; i++) {
        part = num->parts[i];

        if (part != NULL) {
            job_list_free(&part->waiting);
            job_list_free(&part->asked);
            event_free(part->timer);
            free(part);
        }
    }

    free(num->parts);

    event_free(num->turn);
    event_free(num->tidy);
}


static job_number_part_t *
job_number_part(job_t *job, uint32_t partition)
{
    size_t              n;
    job_number_t       *num;
    job_number_part_t  *part;

    num = &job->number;

    if (partition >= num->nparts) {
        n = (size_t) partition + 1;

        num->parts = job_realloc(num->parts, n * sizeof(part));
        memset(num->parts + num->nparts, 0,
               (n - num->nparts) * sizeof(part));
        num->nparts = n;
    }

    if (num->parts[partition] == NULL) {
        part = job_realloc(NULL, sizeof(job_number_part_t));
        memset(part, 0, sizeof(job_number_part_t));

        part->job = job;
        part->partition = partition;
        part->timer = evtimer_new(job->base, job_number_timer, part);

        if (part->timer == NULL) {
            log_write(LOG_EMERG, "no memory for a timer");
            abort();
        }

        job_list_init(&part->waiting);
        job_list_init(&part->asked);
        num->parts[partition] = part;
    }

    return num->parts[partition];
}


void
job_number_take(job_t *job, job_msg_t *msg)
{
    job_number_t       *num;
    job_number_part_t  *part;

    num = &job->number;
    part = job_number_part(job, msg->partition);

    if (job->history.known && job->history.now.n == 0 && num->held == 0
        && job_number_said(part))
    {
        job_fanout_take(job, msg);
        return;
    }

    num->held++;
    job_list_push(&part->waiting, msg);

    /* once for all that the bus gives in this turn of the loop */

    event_active(num->turn, EV_TIMEOUT, 0);
}


void
job_number_purge(job_t *job)
{
    size_t  i;

    for (i = 0; i < job->number.nparts; i++) {
        if (job->number.parts[i] != NULL) {
            job->number.parts[i]->version = 0;
            job->number.parts[i]->saying = 0;
        }
    }

    event_active(job->number.turn, EV_TIMEOUT, 0);
}


/* Once a second, too. Who joins a room does not wait for its first item. */

static void
job_number_learnt(job_t *job)
{
    uint32_t  n;

    for (n = 0; n < job->history.partitions && job->history.now.n > 0; n++) {
        if (bus_consumer_holds(job->consumer, n)) {
            job_number_go(job_number_part(job, n));
        }
    }

    if (job->number.held > 0) {
        event_active(job->number.turn, EV_TIMEOUT, 0);
    }
}


static void
job_number_turn(evutil_socket_t fd, short what, void *data)
{
    job_t  *job = data;

    size_t  i;

    (void) fd;
    (void) what;

    for (i = 0; i < job->number.nparts; i++) {
        if (job->number.parts[i] != NULL) {
            job_number_go(job->number.parts[i]);
        }
    }
}


/* ---- what a step is made of ---- */

static int
job_number_said(const job_number_part_t *part)
{
    return part->version == part->job->history.version;
}


static void
job_number_go(job_number_part_t *part)
{
    job_t  *job;

    job = part->job;

    while (!part->inflight && !job->draining
           && !evtimer_pending(part->timer, NULL)
           && (part->waiting.head != NULL
               || (!job_number_said(part)
                   && bus_consumer_holds(job->consumer, part->partition))))
    {
        if (!job->history.known) {
            job_history_need(job);
            return;
        }

        if (job_number_gather(part) == 0 && job_number_said(part)) {
            job_number_answered(part, NULL);

        } else if (job_number_step(part) != 0) {
            job_number_back(part);
            job_number_wait(part);
        }
    }
}


/* From those that wait to the step; how many of them are items. */

static size_t
job_number_gather(job_number_part_t *part)
{
    job_t       *job;
    job_msg_t   *msg;
    job_step_t  *step;

    job = part->job;
    step = &job->step;

    while (step->n < JOB_STEP && step->bytes < JOB_STEP_BYTES
           && (msg = job_list_pop(&part->waiting)) != NULL)
    {
        if (msg->part == NULL) {            /* revoked */
            job->number.held--;
            job_msg_unref(msg);
            continue;
        }

        msg->item = job_step_add(job, msg);
        job_list_push(&part->asked, msg);
    }

    part->nitems = step->n;

    return step->n;
}


static int
job_number_step(job_number_part_t *part)
{
    if (job_step_send(part->job, part->partition, job_number_answer, part)
        != 0)
    {
        return -1;
    }

    part->inflight = 1;
    part->saying = part->job->history.version;
    metrics_add(part->job->m.steps, 1);

    return 0;
}


/* ---- its answer ---- */

static void
job_number_answer(svc_redis_t *r, redisReply *reply, void *data)
{
    job_number_part_t  *part = data;

    job_t  *job;

    (void) r;

    job = part->job;
    part->inflight = 0;

    if (job->draining) {
        return;
    }

    if (job_number_fits(part, reply)) {
        part->delay = 0;
        part->version = part->saying;
        job_number_full(part, 0);
        job_number_answered(part, reply);

    } else {
        job_number_failed(part, reply);
    }

    job_number_go(part);
    job->eased(job);
}


static int
job_number_fits(const job_number_part_t *part, const redisReply *reply)
{
    size_t  i;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 1 + 2 * part->nitems
        || reply->element[0]->type != REDIS_REPLY_INTEGER)
    {
        return 0;
    }

    for (i = 1; i < reply->elements; i += 2) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER
            || reply->element[i + 1]->type != REDIS_REPLY_STRING
            || reply->element[i + 1]->len > JOB_EPOCH_MAX)
        {
            return 0;
        }
    }

    return 1;
}


/* On to the nodes, in order; reply NULL: there were no items. */

static void
job_number_answered(job_number_part_t *part, const redisReply *reply)
{
    static log_once_t  replaced;

    size_t      i;
    job_t      *job;
    job_msg_t  *msg;

    job = part->job;
    i = 1;

    if (reply != NULL && reply->element[0]->integer > 0) {
        metrics_add(job->m.history_replaced, reply->element[0]->integer);
        log_seldom(&replaced, LOG_ERROR, "partition %u: %lld keys of "
                   "histories were of another type or wrong, replaced",
                   part->partition, reply->element[0]->integer);
    }

    while ((msg = job_list_pop(&part->asked)) != NULL) {
        job->number.held--;

        if (msg->item) {
            job_number_judged(job, msg, reply->element[i]->integer,
                              reply->element[i + 1]);
            i += 2;

        } else {
            job_fanout_take(job, msg);
        }
    }
}


static void
job_number_judged(job_t *job, job_msg_t *msg, int64_t seq,
    const redisReply *epoch)
{
    static log_once_t  lost;

    if (seq < 0) {
        metrics_add(seq == -1 ? job->m.repeats : job->m.stale, 1);
        job_place_ack(&job->place, msg);
        job_msg_unref(msg);
        return;
    }

    if (seq > 0) {
        metrics_add(job->m.numbered, 1);
        job_msg_number(msg, (uint64_t) seq, epoch->str, epoch->len);
        job_fanout_take(job, msg);
        return;
    }

    /* of no epoch, and without a number: so nodes ask where its room stands */

    job_msg_number(msg, 0, "-", 1);

    if (!msg->loose) {
        metrics_add(job->m.unnumbered[JOB_NONE_LOST], 1);
        log_seldom(&lost, LOG_ERROR, "partition %u: an item is done again "
                   "whose number is not known any more, as its history was "
                   "deleted; who recovers in its room is told so",
                   msg->partition);
    }

    job_fanout_take(job, msg);
}


static void
job_number_failed(job_number_part_t *part, const redisReply *reply)
{
    static log_once_t  refused;

    int         full;
    job_t      *job;
    log_text_t  text;

    job = part->job;
    full = 0;

    metrics_add(job->m.step_retries, 1);

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        full = (strncmp(reply->str, "OOM", 3) == 0);

        if (svc_redis_class(reply) != SVC_REDIS_LIFE) {
            log_seldom(&refused, svc_redis_class(reply) == SVC_REDIS_ERROR
                       ? LOG_ERROR : LOG_WARN, "partition %u: numbering "
                       "refused: %s; trying again", part->partition,
                       log_text(&text, reply->str));
        }
    }

    job_number_full(part, full);
    job_number_back(part);

    if (reply != NULL && reply->type == REDIS_REPLY_STRING
        && strcmp(reply->str, "HISTORY") == 0)
    {
        job_history_again(job);         /* then job_number_learnt() */
        return;
    }

    job_number_wait(part);
}


/* The step's records wait again, before the others. */

static void
job_number_back(job_number_part_t *part)
{
    job_list_t  all;

    job_list_init(&all);
    job_list_join(&all, &part->asked);
    job_list_join(&all, &part->waiting);
    job_list_join(&part->waiting, &all);
}


static void
job_number_wait(job_number_part_t *part)
{
    part->delay = part->delay ? 2 * part->delay : JOB_RETRY_MIN;

    if (part->delay > JOB_RETRY_MAX) {
        part->delay = JOB_RETRY_MAX;
    }

    svc_timer(part->timer, part->delay);
}


/* As in node.c: nothing is taken from the bus meanwhile. */

static void
job_number_full(job_number_part_t *part, int full)
{
    if (part->full != full) {
        part->full = full;
        part->job->full += full ? 1 : -1;
    }
}


static void
job_number_timer(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;

    job_number_go(data);
}


/*
 * Steps without records: what is done has its time from now on, also where
 * nothing more comes.
 */

static void
job_number_tidy(evutil_socket_t fd, short what, void *data)
{
    job_t  *job = data;

    uint32_t            n;
    job_number_part_t  *part;

    (void) fd;
    (void) what;

    if (!job->history.known || job->history.never || job->history.strange
        || job->draining)
    {
        return;
    }

    for (n = 0; n < job->history.partitions; n++) {

        if (!bus_consumer_holds(job->consumer, n)) {
            continue;
        }

        part = job_number_part(job, n);

        if (!part->inflight && part->waiting.head == NULL) {
            part->nitems = 0;
            (void) job_number_step(part);
        }
    }
}
