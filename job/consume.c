/*
 * Records from the bus, the bound of memory, and the end.
 */

#include "canary.h"
#include "consume.h"

#include <stdio.h>

#include "fanout.h"
#include "nodes.h"
#include "same.h"

#include "svc/clock.h"
#include "svc/log.h"
#include "svc/loop.h"


static void job_consume_record(bus_consumer_t *c, const bus_record_t *rec,
    void *data);
static void job_consume_revoked(bus_consumer_t *c, uint32_t partition,
    void *data);
static void job_consume_done(void *data, uint32_t partition,
    const goim_offset_t *offset);
static void job_consume_eased(job_t *job);
static void job_consume_drained(job_t *job);
static void job_consume_end(evutil_socket_t fd, short what, void *data);
static void job_consume_freed(void *data);


int
job_consume_start(job_t *job, char *err, size_t size)
{
    bus_consumer_events_t  events;

    job->eased = job_consume_eased;
    job_place_init(&job->place, job_consume_done, job);

    job->end = event_new(job->base, -1, 0, job_consume_end, job);
    if (job->end == NULL) {
        snprintf(err, size, "no memory for an event");
        return -1;
    }

    events.record = job_consume_record;
    events.revoked = job_consume_revoked;
    events.data = job;

    job->consumer = bus_consumer_new(job->base, &job->conf->bus, job->redis,
                                     &events, err, size);

    return job->consumer ? 0 : -1;
}


static void
job_consume_record(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    job_t  *job = data;

    job_msg_t  *msg;

    (void) c;

    if (job->draining) {
        return;
    }

    if (job_place_seen(&job->place, rec->partition, &rec->offset)) {
        job_fanout_skipped(job, JOB_BAD_ORDER, rec->partition,
                            &rec->offset);
        return;
    }

    if (rec->len > GOIM_RECORD_MAX) {
        job_fanout_skipped(job, JOB_BAD_SIZE, rec->partition, &rec->offset);
        job_place_skip(&job->place, rec->partition, &rec->offset);
        return;
    }

    msg = job_msg_new(rec->partition, &rec->offset, rec->payload, rec->len,
                      &job->used);
    msg->came = svc_date();
    msg->from = job_same_from(job, rec);

    job_place_take(&job->place, msg);
    job_number_take(job, msg);

    job_consume_eased(job);
}


static void
job_consume_revoked(bus_consumer_t *c, uint32_t partition, void *data)
{
    job_t  *job = data;

    (void) c;

    metrics_add(job->m.revoked, 1);

    job_canary_revoked(job, partition);
    job_place_revoke(&job->place, partition);
    job_fanout_purge(job);
    job_number_purge(job);
}


static void
job_consume_done(void *data, uint32_t partition, const goim_offset_t *offset)
{
    job_t  *job = data;

    if (job->consumer != NULL) {
        bus_done(job->consumer, partition, offset);
    }
}


/* Held back by what is outstanding, and by a full Redis. */

static void
job_consume_eased(job_t *job)
{
    size_t  max;

    if (job->draining) {
        job_consume_drained(job);
        return;
    }

    max = (size_t) job->conf->max_unacked;

    if (!job->paused && (job->used > max || job->full > 0)) {
        job->paused = 1;
        bus_pause(job->consumer);

    } else if (job->paused && job->used < max / 4 * 3 && job->full == 0) {
        job->paused = 0;
        bus_resume(job->consumer);
    }
}


void
job_consume_up(job_t *job)
{
    uint64_t  life;

    life = svc_redis_life(job->redis);

    if (job->life != 0 && life != job->life) {

        /*
         * Appends that were acknowledged may be missing in this run of
         * Redis, and `done` with them. Going on with what is queued would
         * put newer records before those: the consumer begins again at what
         * is saved.
         */

        log_write(LOG_WARN, "redis runs anew (life %llu, was %llu): going "
                  "back to what is saved there", (unsigned long long) life,
                  (unsigned long long) job->life);

        metrics_add(job->m.lives, 1);

        job_place_revoke_all(&job->place);
        job_fanout_purge(job);
        job_number_purge(job);
    }

    job->life = life;

    if (job->draining) {
        return;
    }

    job_history_again(job);
    job_fanout_up(job);
    job_nodes_send(job, 1);
}


/* ---- the end ---- */

void
job_consume_drain(job_t *job)
{
    if (job->draining) {
        return;
    }

    job->draining = 1;

    log_write(LOG_NOTICE, "draining: %zu appends in flight, %zu records "
              "not acknowledged are left to the next", job->inflight,
              job->place.count);

    bus_pause(job->consumer);
    job_consume_drained(job);
}


static void
job_consume_drained(job_t *job)
{
    /* a reading that is outstanding touches nothing any more */

    if (job->inflight > 0 || job->freeing) {
        return;
    }

    job->freeing = 1;

    /* not from inside a callback of Redis's */

    event_active(job->end, EV_TIMEOUT, 0);
}


static void
job_consume_end(evutil_socket_t fd, short what, void *data)
{
    job_t  *job = data;

    (void) fd;
    (void) what;

    bus_consumer_free(job->consumer, job_consume_freed, job);
}


static void
job_consume_freed(void *data)
{
    job_t  *job = data;

    job->consumer = NULL;

    svc_loop_done();
}


void
job_consume_stop(job_t *job)
{
    job_place_free(&job->place);

    if (job->end != NULL) {
        event_free(job->end);
        job->end = NULL;
    }
}
