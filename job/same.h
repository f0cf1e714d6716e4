/*
 * Whether records come from a logic that has this job's Redis, database and
 * prefix. Else the nodes that they are for are not known here, and they wait.
 */

#ifndef JOB_SAME_H
#define JOB_SAME_H

#include "job.h"

void job_same_start(job_t *job);
void job_same_stop(job_t *job);

/* Redis is up: which one it is */
void job_same_up(job_t *job);

/* Where the record is from, if that is not this job's place; else NULL. */
char *job_same_from(job_t *job, const bus_record_t *rec);

/* 0: the record waits, and what comes behind it */
int job_same(job_t *job, const job_msg_t *msg);

#endif
