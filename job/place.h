/*
 * The place in each partition: which of the records taken from it are still
 * outstanding, and up to where everything is done.
 *
 * Nothing of Redis or of the bus here: what is done is told to a callback.
 */

#ifndef JOB_PLACE_H
#define JOB_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_position.h"

typedef struct job_msg_s   job_msg_t;
typedef struct job_part_s  job_part_t;

#define JOB_EPOCH_MAX  32

/* An item's number in its room's history. */
typedef struct {
    uint64_t        seq;
    char            epoch[JOB_EPOCH_MAX + 1];
} job_seq_t;

/*
 * A record on its way. Shared by reference between its partition, the queue
 * before fan-out and the nodes' queues.
 */
struct job_msg_s {
    job_msg_t      *next;       /* of its partition */
    job_msg_t      *link;       /* of the queue before fan-out */
    job_part_t     *part;       /* NULL: revoked, or done */
    size_t         *used;       /* where its size is accounted */
    int64_t         came;       /* Unix time, ms */
    char           *from;       /* another place than the job's own; or NULL */
    uint8_t        *data;       /* the payload; then the packed Delivery */
    size_t          len;
    goim_offset_t   offset;
    goim_offset_t   last;       /* with it, all up to here is done */
    job_seq_t      *seq;        /* NULL: it has no number; number 0: an item
                                   that can have none */
    uint32_t        partition;
    uint32_t        item:1;     /* to be numbered, in the step under way */
    uint32_t        loose:1;    /* an item that gets no number, counted */
    uint32_t        refs;
    uint32_t        pending;    /* nodes to acknowledge; 1 more before all
                                   of them are known */
};

typedef void (*job_done_pt)(void *data, uint32_t partition,
    const goim_offset_t *offset);

typedef struct {
    job_part_t    **parts;      /* by number; NULL: nothing was taken */
    size_t          nparts;
    size_t          count;      /* messages outstanding */
    job_done_pt     done;
    void           *data;
} job_place_t;


/*
 * A copy of the payload, one reference, pending 1, no partition yet. Its size
 * is added to *used until the last reference is gone. Never NULL.
 */
job_msg_t *job_msg_new(uint32_t partition, const goim_offset_t *offset,
    const uint8_t *payload, size_t len, size_t *used);

/* Replace the bytes; data is malloc()ed and becomes the message's. */
void job_msg_set(job_msg_t *msg, uint8_t *data, size_t len);

/* epoch: at most JOB_EPOCH_MAX bytes. */
void job_msg_number(job_msg_t *msg, uint64_t seq, const char *epoch,
    size_t len);

void job_msg_unref(job_msg_t *msg);


void job_place_init(job_place_t *place, job_done_pt done, void *data);
void job_place_free(job_place_t *place);

/* Whether `offset` is not behind the newest one taken: seen before. */
int job_place_seen(job_place_t *place, uint32_t partition,
    const goim_offset_t *offset);

/* msg is the newest of its partition. Takes a reference of its own. */
void job_place_take(job_place_t *place, job_msg_t *msg);

/* A record that needs nothing: done as soon as all before it are. */
void job_place_skip(job_place_t *place, uint32_t partition,
    const goim_offset_t *offset);

/* One less of msg->pending; at 0 it is done, and the place may move. */
void job_place_ack(job_place_t *place, job_msg_t *msg);

/* Forget the partition: its messages have no part any more. */
void job_place_revoke(job_place_t *place, uint32_t partition);
void job_place_revoke_all(job_place_t *place);


/* realloc() for what this process cannot do without: NULL ends it, and the
 * next one begins at what is done. */
void *job_realloc(void *p, size_t size);

#endif
