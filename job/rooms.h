/*
 * Which nodes have members of a room (rooms.c).
 */

#ifndef JOB_ROOMS_H
#define JOB_ROOMS_H

#include "job.h"

int job_rooms_init(job_t *job);
void job_rooms_free(job_t *job);

/*
 * Look up the rooms of these records, in this order, up to a bound. 0: that is
 * not needed, each goes to all nodes. 1: cb comes, not from inside this call;
 * ok 0: Redis did not say, the same again later. What is told is good until
 * the set of nodes is another.
 */
typedef void (*job_rooms_pt)(job_t *job, int ok);

int job_rooms_ask(job_t *job, const job_msg_t *msg, job_rooms_pt cb);

/* The nodes that a record for the room goes to; the list is good until the
 * next call. -1: the room was beyond the bound. */
int job_rooms_nodes(job_t *job, const char *room, job_node_t ***nodes,
    size_t *n);

#endif
