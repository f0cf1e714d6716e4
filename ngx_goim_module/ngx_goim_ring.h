/*
 * The ring: one writer, many readers, in shared memory.
 *
 * Positions are bytes written since the ring was made; they never wrap.  An
 * entry lies in one piece at (position % size), begins at a multiple of 8,
 * and becomes visible by the one release store of `head`, which is the end of
 * the newest entry: an entry's length is also its last word, so the newest one
 * is found from there.  Before it writes, the writer moves `tail` to the oldest
 * entry that will stay whole, so every position in [tail, head) is an entry's
 * start or inside one.
 *
 * A reader copies an entry and only then knows whether it got it: the tail
 * must not have passed it, and the CRC-32C must match.  The latter catches
 * what the former cannot: bytes written by a writer that was stopped, lost
 * its lease and woke up.
 *
 * No nginx here, so that it can be tested by threads in a unit test.  Memory
 * ordering is by the __atomic builtins.
 */

#ifndef _NGX_GOIM_RING_H_INCLUDED_
#define _NGX_GOIM_RING_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define NGX_GOIM_RING_MASK      4       /* 64-bit words: 256 worker slots */


typedef struct {
    uint64_t    head;                   /* end of what is visible */
    uint64_t    tail;                   /* start of the oldest entry */
    uint64_t    size;
    uint64_t    pad[5];
    uint8_t     data[];
} ngx_goim_ring_t;


typedef struct {
    uint64_t    at;                     /* its own position */
    uint32_t    len;                    /* with header and last word, multiple
                                           of 8 */
    uint32_t    crc;                    /* of all that follows */
    uint64_t    mask[NGX_GOIM_RING_MASK];   /* slots concerned */
    uint64_t    id[2];                  /* stream id read up to, with it */
    uint64_t    came;                   /* ms: when it was written */
    uint8_t     epoch[16];              /* digest of the bus epoch */
    uint32_t    used;                   /* bytes behind the header */
    uint32_t    records;
} ngx_goim_ring_entry_t;


#define NGX_GOIM_RING_OK        0
#define NGX_GOIM_RING_EMPTY     1       /* nothing new */
#define NGX_GOIM_RING_SKIP      2       /* an entry for others: moved on */
#define NGX_GOIM_RING_LAPPED    3       /* overwritten: moved to the tail */
#define NGX_GOIM_RING_CORRUPT   4       /* bad checksum: moved on */
#define NGX_GOIM_RING_SIZE      5       /* entry larger than the buffer given;
                                           *need is set */


/* bytes of shared memory -> a ring in it; size is cut to a multiple of 8 */
void ngx_goim_ring_init(ngx_goim_ring_t *ring, size_t bytes);

/* the longest entry: a quarter of the ring; and what of it is for data */
size_t ngx_goim_ring_max(ngx_goim_ring_t *ring);
size_t ngx_goim_ring_room(ngx_goim_ring_t *ring);

/*
 * Whether a reader at cursor is more than half a ring behind.  As long as it
 * is not, no next entry laps it, whatever its length.
 */
int ngx_goim_ring_behind(ngx_goim_ring_t *ring, uint64_t cursor);

/*
 * Writing is in two steps.  prepare() makes room and copies the entry to its
 * place, invisibly; it sets at, len and crc in e.  publish() makes it
 * visible.  Only publish() needs the lock under which the lease is checked.
 * -1: longer than ngx_goim_ring_max().
 */
int ngx_goim_ring_prepare(ngx_goim_ring_t *ring, ngx_goim_ring_entry_t *e,
    const void *data);
void ngx_goim_ring_publish(ngx_goim_ring_t *ring,
    const ngx_goim_ring_entry_t *e);

/*
 * The entry at *cursor, if its mask has bit `slot`, goes to out (size bytes;
 * header first), and the cursor moves behind it.
 */
int ngx_goim_ring_read(ngx_goim_ring_t *ring, uint64_t *cursor,
    unsigned slot, void *out, size_t size, size_t *need);

/* the newest visible entry, whoever it concerns; same results, no cursor */
int ngx_goim_ring_newest(ngx_goim_ring_t *ring, void *out, size_t size,
    size_t *need);

uint64_t ngx_goim_ring_head(ngx_goim_ring_t *ring);


#endif /* _NGX_GOIM_RING_H_INCLUDED_ */
