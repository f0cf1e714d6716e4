/*
 * From the records taken to the nodes concerned (fanout.c).
 */

#ifndef JOB_FANOUT_H
#define JOB_FANOUT_H

#include "job.h"

int job_fanout_init(job_t *job);
void job_fanout_free(job_t *job);

/* job takes over the caller's reference */
void job_fanout_take(job_t *job, job_msg_t *msg);

/* A wrong record: counted and, not too often, said. */
void job_fanout_skipped(job_t *job, job_bad_t bad, uint32_t partition,
    const goim_offset_t *offset);

/* revoked messages in the queues: forget them at the end of this turn */
void job_fanout_purge(job_t *job);

/* Redis is there again: do not wait for the timer */
void job_fanout_up(job_t *job);

#endif
