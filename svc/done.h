/*
 * How far each partition has had its effects, kept in the Redis that holds
 * them: a place is saved behind its effects, on the same connection.
 *
 *     <prefix>goim:{<n>}:done          hash: epoch -> "<high>-<low>", and
 *                                      behind a blank the driver's note
 *     <prefix>goim:{<n>}:done:<epoch>  string: what else a driver keeps
 *
 * The epoch names the numbering that places belong to. A place is saved in
 * the name of a lease (lease.h): one that another has saves nothing. It only
 * grows.
 */

#ifndef SVC_DONE_H
#define SVC_DONE_H

#include "lease.h"

#define DONE_NOTE    64
#define DONE_PIECES  2

typedef struct done_s  done_t;

/* What is saved with a place, in one step. */
typedef struct {
    char             note[DONE_NOTE];
    struct {
        size_t       at;            /* in the string */
        const void  *data;          /* the driver's: used at once */
        size_t       len;
    }                piece[DONE_PIECES];
} done_kept_t;

typedef struct {
    /* done_read(): where the partition stands, and what was noted of that
     * place; NULL: nowhere yet, and `note` is where it was begun ("<high>-
     * <low>"), or "". When Redis did not answer it is asked again
     * until done_forget(). */
    void  (*read)(uint32_t n, const goim_offset_t *place, const char *note,
        void *data);

    /* everything up to `place` will never be asked for again */
    void  (*saved)(uint32_t n, const goim_offset_t *place, void *data);

    /* another has the lease */
    void  (*fenced)(uint32_t n, void *data);

    /* nothing waits for an answer any more */
    void  (*idle)(void *data);

    /*
     * NULL: nothing but places is kept. What to keep with `place`, zeroed
     * before; and done_load(): what was kept with the place, NULL: nothing.
     */
    void  (*keep)(uint32_t n, const goim_offset_t *place, done_kept_t *kept,
        void *data);
    void  (*loaded)(uint32_t n, const void *bytes, size_t len, void *data);

    void   *data;
} done_events_t;

done_t *done_new(struct event_base *base, svc_redis_t *r, lease_t *lease,
    const done_events_t *events);

/* Nothing may wait for an answer: see done_busy(). */
void done_free(done_t *d);
int done_busy(done_t *d);

/* Redis can be used: in this life, for n partitions, perhaps more than before,
 * with places of this epoch. Before lease_begin(). */
void done_begin(done_t *d, const uint8_t epoch[BUS_EPOCH_LEN], uint32_t n,
    uint64_t life);

/* What stands in Redis about the partition, but for `life`; -1: nothing has
 * begun, or there is no such partition. */
int done_names(done_t *d, uint32_t n, bus_names_t *names);

/* Read the place of a partition whose lease one has. */
void done_read(done_t *d, uint32_t n);

/* What was kept with its place, when that is saved. */
void done_load(done_t *d, uint32_t n);

/* It is done up to and including `offset`; saved within 100 ms. */
void done_move(done_t *d, uint32_t n, const goim_offset_t *offset);

/* Up to where it is; -1: nowhere yet, or that is not known. */
int done_place(done_t *d, uint32_t n, goim_offset_t *place);

/* Save now what is not saved yet. */
void done_save(done_t *d, uint32_t n);

/* It is another's: what is not saved stays undone. */
void done_forget(done_t *d, uint32_t n);

#endif
