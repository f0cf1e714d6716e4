/*
 * Logic and job must have the same Redis, database and prefix: else all looks
 * well, and nothing arrives. Over the Redis bus such a job reads another bus:
 * it can but see that no logic is there. Over Kafka records say where they are
 * from. A record from elsewhere waits until the configuration is mended, the
 * job's or logic's: until a logic is seen in the job's own Redis. Then it is
 * delivered, as nobody else will do it. Redis may also have been restarted since:
 * runs of it that this job has seen are its own.
 */

#include "same.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#define JOB_SAME_GRACE  5000        /* ms: logic and Redis may be starting */


typedef enum {
    JOB_SAME,
    JOB_OTHER_RUN,      /* of Redis: of the same one, perhaps */
    JOB_OTHER_PLACE
} job_differ_t;


static void job_same_seen(int seen, void *data);
static int job_same_known(job_t *job, const char *from);
static job_differ_t job_same_differs(job_t *job, const char *from,
    char *what, size_t size);


void
job_same_start(job_t *job)
{
    job->here = here_new(job->base, job->redis, &job->conf->bus, "job",
                         "logic", job_same_seen, job);
}


void
job_same_stop(job_t *job)
{
    here_free(job->here);
    job->here = NULL;
}


static void
job_same_seen(int seen, void *data)
{
    job_t  *job = data;

    const svc_redis_conf_t  *conf;

    conf = &job->conf->redis;
    metrics_set(job->m.no_logic, !seen);

    if (seen) {
        log_write(LOG_NOTICE, "a logic is seen in Redis");
        return;
    }

    log_write(LOG_WARN, "no logic is seen in redis %s, database %" PRId64
              ", under prefix '%s': nothing will come if [redis] of logic is "
              "another", conf->addr, conf->db, conf->prefix);
}


void
job_same_up(job_t *job)
{
    char  from[HERE_FROM];

    here_from(from, job->redis);

    if (strcmp(from, job->from[0]) != 0) {
        memmove(job->from[1], job->from[0], (JOB_RUNS - 1) * HERE_FROM);
        strcpy(job->from[0], from);
    }
}


char *
job_same_from(job_t *job, const bus_record_t *rec)
{
    char  from[HERE_FROM];

    if (rec->from == NULL || rec->from_len >= HERE_FROM) {
        return NULL;
    }

    memcpy(from, rec->from, rec->from_len);
    from[rec->from_len] = '\0';

    return job_same_known(job, from) ? NULL : strdup(from);
}


static int
job_same_known(job_t *job, const char *from)
{
    size_t  i;

    for (i = 0; i < JOB_RUNS; i++) {
        if (strcmp(from, job->from[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


int
job_same(job_t *job, const job_msg_t *msg)
{
    static log_once_t  waits, other;

    char          what[sizeof(job->why)];
    job_differ_t  differs;

    differs = job_same_differs(job, msg->from, what, sizeof(what));

    if (differs == JOB_SAME || here_seen(job->here)) {

        if (job->elsewhere != 0) {
            job->elsewhere = 0;
            log_write(LOG_NOTICE, "records of logic are taken again");
        }

        if (differs == JOB_OTHER_PLACE) {
            metrics_add(job->m.other, 1);
            log_seldom(&other, LOG_ERROR, "%s: its records are delivered "
                       "here", what);
        }

        return 1;
    }

    if (job->elsewhere == 0) {
        job->elsewhere = svc_now();
    }

    strcpy(job->why, what);

    if (svc_now() - job->elsewhere >= JOB_SAME_GRACE) {
        log_seldom(&waits, LOG_EMERG, "records wait: %s, and no logic is seen "
                   "there", what);
    }

    return 0;
}


static job_differ_t
job_same_differs(job_t *job, const char *from, char *what, size_t size)
{
    int                      n;
    char                     run_id[65];
    uint32_t                 db;
    log_text_t               text;
    const svc_redis_conf_t  *conf;

    if (from == NULL || job_same_known(job, from)) {
        return JOB_SAME;
    }

    n = 0;

    if (sscanf(from, "%64s %" SCNu32 "%n", run_id, &db, &n) != 2
        || from[n++] != ' ')
    {
        return JOB_SAME;        /* it says nothing */
    }

    conf = &job->conf->redis;

    if (db != (uint32_t) conf->db) {
        snprintf(what, size, "logic has Redis's database %" PRIu32
                 ", this job %" PRId64, db, conf->db);
        return JOB_OTHER_PLACE;
    }

    if (strcmp(from + n, conf->prefix) != 0) {
        snprintf(what, size, "logic has prefix \"%.64s\", this job \"%.64s\"",
                 log_text(&text, from + n), conf->prefix);
        return JOB_OTHER_PLACE;
    }

    snprintf(what, size, "logic has Redis with run_id %.64s, this job %.64s "
             "with run_id %s", log_text(&text, run_id), conf->addr,
             svc_redis_run_id(job->redis));

    return JOB_OTHER_RUN;
}
