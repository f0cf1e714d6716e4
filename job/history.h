/*
 * [history] as it stands in Redis: written there by the job that has started
 * last, learnt from there by all (history.c).
 */

#ifndef JOB_HISTORY_H
#define JOB_HISTORY_H

#include <event2/event.h>

#include <stdint.h>

#include "svc/history.h"

typedef struct job_s  job_t;

#define JOB_HISTORY_OF  160

typedef struct {
    history_t       now;
    char            of[JOB_HISTORY_OF];     /* what epochs belong to */
    uint32_t        version;                /* another one with each `of` */
    uint32_t        partitions;             /* by them rooms have their home */
    struct event   *look;
    void          (*learnt)(job_t *job);        /* it is known now */
    char            started[40];            /* bus epoch that was told of it */
    unsigned        known:1;
    unsigned        asking:1;
    unsigned        strange:1;      /* it is another bus that numbers */
    unsigned        never:1;        /* nothing was ever kept */
} job_history_t;

int job_history_init(job_t *job);
void job_history_free(job_t *job);

/* What is known may be wrong: ask, then `learnt`. */
void job_history_again(job_t *job);

/* Ask unless it is known or asked for; nothing while Redis is away. */
void job_history_need(job_t *job);

#endif
