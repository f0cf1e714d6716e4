/*
 * A node: its queue, and one append in flight (node.c).
 */

#ifndef JOB_NODE_H
#define JOB_NODE_H

#include "job.h"

struct job_node_s {
    job_t          *job;
    char           *server;
    struct event   *timer;

    job_msg_t     **ring;           /* the queue: [head, head + count) */
    size_t          size;           /* a power of two */
    size_t          head;
    size_t          count;
    size_t          sent;           /* of them, the append that was tried */

    uint64_t        rooms;          /* life of Redis in which those that it
                                       has are listed; 0: it may have any */
    uint64_t        chosen;         /* by rooms.c, for this record */
    uint64_t        pass;           /* when it was last seen in the registry */
    uint64_t        purged;         /* job->revokes, when last purged */
    int64_t         delay;          /* ms, before the next repeat */
    size_t          cost;           /* of the append in flight */
    job_node_t     *turn;           /* behind it in job->turns */

    unsigned        lapsed:1;       /* what is for it is counted, not sent */
    unsigned        ripe:1;         /* enough was gathered to be counted */
    unsigned        inflight:1;
    unsigned        queued:1;       /* in job->turns */
    unsigned        waiting:1;      /* before a repeat, or until it is ripe */
    unsigned        gone:1;         /* freed when the append is answered */
    unsigned        full:1;         /* Redis is, it said last */
};


job_node_t *job_node_new(job_t *job, const char *server);
void job_node_free(job_node_t *node);

/* Queue a packed message for the node: one more in msg->pending, and a
 * reference. */
void job_node_push(job_node_t *node, job_msg_t *msg);

/* Everything that waits counts as done for this node. */
void job_node_drop(job_node_t *node);

/* Forget revoked messages, but for those in flight. */
void job_node_purge(job_node_t *node);

/*
 * Start the node's next append unless one is in flight. So many bytes of all
 * nodes are at most: a thousand nodes with something to say at once, that is
 * hundreds of megabytes to pack and to send before the loop sees anything
 * else. Who has to wait goes when an answer has come.
 */
void job_node_send(job_node_t *node);

#endif
