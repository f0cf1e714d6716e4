/*
 * Records from the bus, the bound of memory, and the end (consume.c).
 */

#ifndef JOB_CONSUME_H
#define JOB_CONSUME_H

#include "job.h"

/* -1 with a message */
int job_consume_start(job_t *job, char *err, size_t size);

/* Redis is there, perhaps another run of it */
void job_consume_up(job_t *job);

/* stop; svc_loop_done() when the place is saved and given up */
void job_consume_drain(job_t *job);

void job_consume_stop(job_t *job);

#endif
