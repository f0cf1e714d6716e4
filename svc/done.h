/*
 * How far each partition has had its effects, kept in the Redis that holds
 * them: a place is saved behind its effects, on the same connection.
 *
 *     <prefix>goim:{<n>}:done     hash: epoch -> place "<high>-<low>"
 *
 * The epoch names the numbering that places belong to. A place is saved in
 * the name of a lease (lease.h): one that another has saves nothing.
 */

#ifndef SVC_DONE_H
#define SVC_DONE_H

#include "lease.h"

typedef struct done_s  done_t;

typedef struct {
    /* done_read(): where the partition stands; all zeros: nowhere yet. When
     * Redis did not answer it is asked again until done_forget(). */
    void  (*read)(uint32_t n, const goim_offset_t *place, void *data);

    /* everything up to `place` will never be asked for again */
    void  (*saved)(uint32_t n, const goim_offset_t *place, void *data);

    /* another has the lease */
    void  (*fenced)(uint32_t n, void *data);

    /* nothing waits for an answer any more */
    void  (*idle)(void *data);

    void   *data;
} done_events_t;

done_t *done_new(struct event_base *base, svc_redis_t *r, lease_t *lease,
    uint32_t n, const done_events_t *events);

/* Nothing may wait for an answer: see done_busy(). */
void done_free(done_t *d);
int done_busy(done_t *d);

/* Redis can be used: in this life, with places of this epoch. */
void done_begin(done_t *d, const uint8_t epoch[BUS_EPOCH_LEN], uint64_t life);

/* Read the place of a partition whose lease one has. */
void done_read(done_t *d, uint32_t n);

/* It is done up to and including `offset`; saved within 100 ms. */
void done_move(done_t *d, uint32_t n, const goim_offset_t *offset);

/* Save now what is not saved yet. */
void done_save(done_t *d, uint32_t n);

/* It is another's: what is not saved stays undone. */
void done_forget(done_t *d, uint32_t n);

#endif
