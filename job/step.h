/*
 * A step that numbers: it is made for one partition, and sent (step.c).
 */

#ifndef JOB_STEP_H
#define JOB_STEP_H

#include "place.h"
#include "svc/redis.h"

#define JOB_STEP  512               /* items, at most */

typedef struct job_s       job_t;
typedef struct job_item_s  job_item_t;

/* The one that is being made. */
typedef struct {
    size_t        n;
    size_t        bytes;            /* of its items */
    job_item_t   *items;
    const char  **argv;
    size_t       *argvlen;
} job_step_t;

/* Whether the record is an item: then it is in the step now. */
int job_step_add(job_t *job, job_msg_t *msg);

/* Send it, with or without items; empty again in any case. -1: not now. */
int job_step_send(job_t *job, uint32_t partition, svc_redis_pt cb,
    void *data);

void job_step_free(job_t *job);

#endif
