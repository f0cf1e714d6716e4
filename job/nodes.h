/*
 * The set of nodes, and whose turn it is to append (nodes.c).
 */

#ifndef JOB_NODES_H
#define JOB_NODES_H

#include "job.h"

/* Make the nodes those of the registry. What waits for others is dropped. */
void job_nodes_sync(job_t *job);

job_node_t *job_nodes_find(job_t *job, const char *server);

/* job_node_send() for all; up: also those that wait before a repeat. */
void job_nodes_send(job_t *job, int up);

/* Forget revoked messages, but for those in flight. */
void job_nodes_purge(job_t *job);

void job_nodes_free(job_t *job);

#endif
