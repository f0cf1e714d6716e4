/*
 * The items of rooms with history get their numbers and are stored, before
 * anything of their partition goes on to the nodes (number.c).
 */

#ifndef JOB_NUMBER_H
#define JOB_NUMBER_H

#include "place.h"

typedef struct job_s              job_t;
typedef struct job_number_part_s  job_number_part_t;

typedef struct {
    job_number_part_t  **parts;     /* by partition; NULL: nothing was taken */
    size_t               nparts;
    size_t               held;      /* messages, of all of them */
    struct event        *turn;      /* at the end of this turn */
    struct event        *tidy;
} job_number_t;

int job_number_init(job_t *job);

/* After Redis's: what it still owes is told. */
void job_number_free(job_t *job);

/* A record that was taken; goes on to job_fanout_take() in the order of its
 * partition, unless it is a repeat. Takes the caller's reference. */
void job_number_take(job_t *job, job_msg_t *msg);

/* job->revokes has grown: forget revoked messages. */
void job_number_purge(job_t *job);

#endif
