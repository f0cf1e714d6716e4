/*
 * Messages in the order in which they were taken, one reference each (list.c).
 */

#ifndef JOB_LIST_H
#define JOB_LIST_H

#include "place.h"

typedef struct {
    job_msg_t  *head;
    job_msg_t **tail;
} job_list_t;

void job_list_init(job_list_t *list);

/* Takes the caller's reference. */
void job_list_push(job_list_t *list, job_msg_t *msg);

/* The first one with its reference; NULL: none. */
job_msg_t *job_list_pop(job_list_t *list);

/* All of the other one behind those of this one. */
void job_list_join(job_list_t *list, job_list_t *other);

/* Forget revoked messages, or all. */
void job_list_purge(job_list_t *list);
void job_list_free(job_list_t *list);

#endif
