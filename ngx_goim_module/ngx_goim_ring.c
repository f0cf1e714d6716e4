
/*
 * The ring in shared memory: see ngx_goim_ring.h.
 */


#include "ngx_goim_ring.h"
#include "common/goim_crc32c.h"

#include <string.h>


/*
 * An entry never wraps: when it does not fit before the end of the memory,
 * the rest is skipped.  A filler is told by a header word of all ones where
 * a header fits, and is implied where not even that fits.
 */

#define NGX_GOIM_RING_FILLER    ((uint64_t) -1)
#define NGX_GOIM_RING_CRC_FROM  offsetof(ngx_goim_ring_entry_t, mask)

#define ngx_goim_ring_load(p)   __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ngx_goim_ring_store(p, v)  __atomic_store_n(p, v, __ATOMIC_RELEASE)


/* the least an entry takes; its length is once more in its last word */
#define NGX_GOIM_RING_MIN       (sizeof(ngx_goim_ring_entry_t)                \
                                 + sizeof(uint64_t))


static uint64_t ngx_goim_ring_place(ngx_goim_ring_t *ring, uint64_t pos,
    size_t len);
static void ngx_goim_ring_evict(ngx_goim_ring_t *ring, uint64_t end);
static int ngx_goim_ring_copy(ngx_goim_ring_t *ring, uint64_t pos,
    void *out, size_t size, size_t *need);


void
ngx_goim_ring_init(ngx_goim_ring_t *ring, size_t bytes)
{
    memset(ring, 0, sizeof(ngx_goim_ring_t));

    ring->size = (bytes - sizeof(ngx_goim_ring_t)) & ~(uint64_t) 7;
}


size_t
ngx_goim_ring_max(ngx_goim_ring_t *ring)
{
    return (ring->size / 4) & ~(size_t) 7;
}


size_t
ngx_goim_ring_room(ngx_goim_ring_t *ring)
{
    return ngx_goim_ring_max(ring) - NGX_GOIM_RING_MIN;
}


/* An entry and a filler before it take two quarters at most. */

int
ngx_goim_ring_behind(ngx_goim_ring_t *ring, uint64_t cursor)
{
    return ngx_goim_ring_load(&ring->head) > cursor + ring->size / 2;
}


uint64_t
ngx_goim_ring_head(ngx_goim_ring_t *ring)
{
    return ngx_goim_ring_load(&ring->head);
}


int
ngx_goim_ring_prepare(ngx_goim_ring_t *ring, ngx_goim_ring_entry_t *e,
    const void *data)
{
    size_t    len;
    uint8_t  *p;
    uint64_t  head, at, last;

    len = (NGX_GOIM_RING_MIN + e->used + 7) & ~(size_t) 7;

    if (len > ngx_goim_ring_max(ring)) {
        return -1;
    }

    head = ring->head;
    at = ngx_goim_ring_place(ring, head, len);

    ngx_goim_ring_evict(ring, at + len);

    /* readers see the new tail before any byte is overwritten */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    if (at - head >= sizeof(uint64_t)) {
        *(uint64_t *) (ring->data + head % ring->size) = NGX_GOIM_RING_FILLER;
    }

    p = ring->data + at % ring->size;

    e->at = at;
    e->len = (uint32_t) len;

    memcpy(p + sizeof(ngx_goim_ring_entry_t), data, e->used);
    memcpy(p, e, sizeof(ngx_goim_ring_entry_t));

    e->crc = goim_crc32c(p + NGX_GOIM_RING_CRC_FROM,
                         sizeof(ngx_goim_ring_entry_t)
                         - NGX_GOIM_RING_CRC_FROM + e->used);

    memcpy(p + offsetof(ngx_goim_ring_entry_t, crc), &e->crc,
           sizeof(uint32_t));

    last = len;
    memcpy(p + len - sizeof(uint64_t), &last, sizeof(uint64_t));

    return 0;
}


void
ngx_goim_ring_publish(ngx_goim_ring_t *ring, const ngx_goim_ring_entry_t *e)
{
    ngx_goim_ring_store(&ring->head, e->at + e->len);
}


int
ngx_goim_ring_read(ngx_goim_ring_t *ring, uint64_t *cursor, unsigned slot,
    void *out, size_t size, size_t *need)
{
    int                          rc;
    uint64_t                     head, pos, word;
    const ngx_goim_ring_entry_t *e;

    head = ngx_goim_ring_load(&ring->head);

    if (*cursor >= head) {
        return NGX_GOIM_RING_EMPTY;
    }

    pos = ngx_goim_ring_place(ring, *cursor, sizeof(ngx_goim_ring_entry_t));

    e = (const ngx_goim_ring_entry_t *) (ring->data + pos % ring->size);

    if (pos == *cursor && e->at == NGX_GOIM_RING_FILLER) {
        pos += ring->size - pos % ring->size;
        e = (const ngx_goim_ring_entry_t *) ring->data;
    }

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    if (ngx_goim_ring_load(&ring->tail) > *cursor) {

        /* what looked like a filler may have been anything */

        *cursor = ngx_goim_ring_load(&ring->tail);
        return NGX_GOIM_RING_LAPPED;
    }

    if (pos >= head) {
        return NGX_GOIM_RING_EMPTY;
    }

    word = __atomic_load_n(&e->mask[slot / 64], __ATOMIC_RELAXED);

    if (!(word & (uint64_t) 1 << slot % 64)
        && e->at == pos && e->len >= NGX_GOIM_RING_MIN
        && e->len <= ngx_goim_ring_max(ring))
    {
        /* the length may be moved by only if it was not overwritten */

        word = pos + e->len;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);

        if (ngx_goim_ring_load(&ring->tail) <= pos && word <= head) {
            *cursor = word;
            return NGX_GOIM_RING_SKIP;
        }
    }

    rc = ngx_goim_ring_copy(ring, pos, out, size, need);

    switch (rc) {

    case NGX_GOIM_RING_OK:
        *cursor = pos + ((ngx_goim_ring_entry_t *) out)->len;
        break;

    case NGX_GOIM_RING_LAPPED:
        *cursor = ngx_goim_ring_load(&ring->tail);
        break;

    case NGX_GOIM_RING_CORRUPT:

        /* its length cannot be trusted: go on with what is newest */

        *cursor = head;
        break;
    }

    return rc;
}


int
ngx_goim_ring_newest(ngx_goim_ring_t *ring, void *out, size_t size,
    size_t *need)
{
    uint64_t  head, last;

    head = ngx_goim_ring_load(&ring->head);

    if (head == 0) {
        return NGX_GOIM_RING_EMPTY;
    }

    memcpy(&last, ring->data + (head - sizeof(uint64_t)) % ring->size,
           sizeof(uint64_t));

    if (last < NGX_GOIM_RING_MIN || last > ngx_goim_ring_max(ring)
        || last > head || last % 8)
    {
        return NGX_GOIM_RING_CORRUPT;
    }

    return ngx_goim_ring_copy(ring, head - last, out, size, need);
}


/* where an entry of len bytes begins at or behind pos */

static uint64_t
ngx_goim_ring_place(ngx_goim_ring_t *ring, uint64_t pos, size_t len)
{
    uint64_t  left;

    left = ring->size - pos % ring->size;

    return left < len ? pos + left : pos;
}


/* move the tail so that nothing visible ends up under [head, end) */

static void
ngx_goim_ring_evict(ngx_goim_ring_t *ring, uint64_t end)
{
    uint64_t                      tail, head;
    const ngx_goim_ring_entry_t  *e;

    tail = ring->tail;
    head = ring->head;

    while (tail < head && end > tail + ring->size) {

        tail = ngx_goim_ring_place(ring, tail, sizeof(ngx_goim_ring_entry_t));
        e = (const ngx_goim_ring_entry_t *) (ring->data + tail % ring->size);

        if (e->at == NGX_GOIM_RING_FILLER) {
            tail += ring->size - tail % ring->size;
            continue;
        }

        if (e->at != tail || e->len < NGX_GOIM_RING_MIN
            || e->len > head - tail)
        {
            /* overwritten by a writer out of turn: nothing here is whole */
            tail = head;
            break;
        }

        tail += e->len;
    }

    ngx_goim_ring_store(&ring->tail, tail);
}


static int
ngx_goim_ring_copy(ngx_goim_ring_t *ring, uint64_t pos, void *out,
    size_t size, size_t *need)
{
    size_t                        len;
    uint32_t                      crc;
    ngx_goim_ring_entry_t        *copy;
    const ngx_goim_ring_entry_t  *e;

    e = (const ngx_goim_ring_entry_t *) (ring->data + pos % ring->size);
    len = e->len;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    if (ngx_goim_ring_load(&ring->tail) > pos) {
        return NGX_GOIM_RING_LAPPED;
    }

    if (len < NGX_GOIM_RING_MIN
        || len > ring->size - pos % ring->size)
    {
        return NGX_GOIM_RING_CORRUPT;
    }

    if (len > size) {
        *need = len;
        return NGX_GOIM_RING_SIZE;
    }

    memcpy(out, e, len);

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    if (ngx_goim_ring_load(&ring->tail) > pos) {
        return NGX_GOIM_RING_LAPPED;
    }

    copy = out;

    if (copy->at != pos || copy->len != len
        || copy->used > len - NGX_GOIM_RING_MIN)
    {
        return NGX_GOIM_RING_CORRUPT;
    }

    crc = goim_crc32c((uint8_t *) out + NGX_GOIM_RING_CRC_FROM,
                      sizeof(ngx_goim_ring_entry_t) - NGX_GOIM_RING_CRC_FROM
                      + copy->used);

    return crc == copy->crc ? NGX_GOIM_RING_OK : NGX_GOIM_RING_CORRUPT;
}
