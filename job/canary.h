/*
 * Whether logic's canaries come (canary.c).
 */

#ifndef JOB_CANARY_H
#define JOB_CANARY_H

#include "job.h"

/* One came, and goes to the nodes. */
void job_canary_came(job_t *job, uint32_t partition);

/* The partition is another's now. */
void job_canary_revoked(job_t *job, uint32_t partition);

/* NULL: they come through all partitions that this job owns; or why not. */
const char *job_canary_missing(job_t *job, char *why, size_t size);

void job_canary_free(job_t *job);

#endif
