/*
 * The ring in shared memory: one writer, many readers, wrapping, being
 * lapped, and what a writer out of turn does to it.
 */
/* LINK: ngx_goim_module/ngx_goim_ring.c */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ngx_goim_module/ngx_goim_ring.h"

#define SMALL  16384


static ngx_goim_ring_t *
ring_make(size_t bytes)
{
    ngx_goim_ring_t  *ring;

    ring = aligned_alloc(64, bytes);
    assert_non_null(ring);
    memset(ring, 0xa5, bytes);
    ngx_goim_ring_init(ring, bytes);

    return ring;
}


static int
put(ngx_goim_ring_t *ring, uint64_t n, size_t len, unsigned slot)
{
    size_t                 i;
    uint8_t                data[SMALL];
    ngx_goim_ring_entry_t  e;

    memset(&e, 0, sizeof(e));

    for (i = 0; i < len; i++) {
        data[i] = (uint8_t) (n + i);
    }

    e.id[1] = n;
    e.used = (uint32_t) len;

    if (slot == 999) {
        memset(e.mask, 0xff, sizeof(e.mask));

    } else {
        e.mask[slot / 64] = (uint64_t) 1 << slot % 64;
    }

    if (ngx_goim_ring_prepare(ring, &e, data) != 0) {
        return -1;
    }

    ngx_goim_ring_publish(ring, &e);

    return 0;
}


/* an entry's number; its bytes are what put() wrote */

static int64_t
number(const uint8_t *buf)
{
    size_t                        i;
    const ngx_goim_ring_entry_t  *e;

    e = (const ngx_goim_ring_entry_t *) buf;

    for (i = 0; i < e->used; i++) {
        if (buf[sizeof(*e) + i] != (uint8_t) (e->id[1] + i)) {
            return -1;
        }
    }

    return (int64_t) e->id[1];
}


static int
get(ngx_goim_ring_t *ring, uint64_t *cursor, unsigned slot, int64_t *n)
{
    int                rc;
    size_t             need;
    _Alignas(8) uint8_t  buf[SMALL];

    rc = ngx_goim_ring_read(ring, cursor, slot, buf, sizeof(buf), &need);

    if (rc == NGX_GOIM_RING_OK) {
        *n = number(buf);
    }

    return rc;
}


static void
test_in_order(void **state)
{
    int64_t           n;
    uint64_t          i, cursor;
    ngx_goim_ring_t  *ring;

    (void) state;

    ring = ring_make(SMALL);
    cursor = 0;

    assert_int_equal(get(ring, &cursor, 0, &n), NGX_GOIM_RING_EMPTY);

    /* lengths of all kinds, so that the end of the memory is met in every
       way: an entry fits, a filler fits, nothing fits */

    for (i = 1; i < 5000; i++) {
        assert_int_equal(put(ring, i, i * 7 % 1500, 999), 0);
        assert_int_equal(get(ring, &cursor, i % 256, &n), NGX_GOIM_RING_OK);
        assert_int_equal(n, i);
        assert_int_equal(get(ring, &cursor, i % 256, &n),
                         NGX_GOIM_RING_EMPTY);
    }

    free(ring);
}


static void
test_bounds(void **state)
{
    int64_t           n;
    size_t            max, need;
    uint8_t           header[8];
    uint64_t          cursor;
    ngx_goim_ring_t  *ring;

    (void) state;

    ring = ring_make(SMALL);
    max = ngx_goim_ring_max(ring);
    cursor = 0;

    assert_int_equal(put(ring, 1, ngx_goim_ring_room(ring) + 1, 0), -1);
    assert_int_equal(ngx_goim_ring_head(ring), 0);
    assert_int_equal(put(ring, 2, ngx_goim_ring_room(ring), 0), 0);

    assert_int_equal(ngx_goim_ring_read(ring, &cursor, 0, header,
                                        sizeof(header), &need),
                     NGX_GOIM_RING_SIZE);
    assert_int_equal(need, max);
    assert_int_equal(cursor, 0);

    assert_int_equal(get(ring, &cursor, 0, &n), NGX_GOIM_RING_OK);
    assert_int_equal(n, 2);

    free(ring);
}


static void
test_for_others(void **state)
{
    int64_t           n;
    uint64_t          i, cursor;
    ngx_goim_ring_t  *ring;

    (void) state;

    ring = ring_make(SMALL);
    cursor = 0;

    for (i = 0; i < 20; i++) {
        assert_int_equal(put(ring, i, 100, i % 2 ? 200 : 3), 0);
    }

    for (i = 0; i < 20; i++) {
        assert_int_equal(get(ring, &cursor, 200, &n),
                         i % 2 ? NGX_GOIM_RING_OK : NGX_GOIM_RING_SKIP);
    }

    assert_int_equal(n, 19);
    assert_int_equal(get(ring, &cursor, 200, &n), NGX_GOIM_RING_EMPTY);

    free(ring);
}


static void
test_lapped(void **state)
{
    int               rc;
    int64_t           n, last;
    uint64_t          i, cursor;
    ngx_goim_ring_t  *ring;

    (void) state;

    ring = ring_make(SMALL);
    cursor = 0;

    for (i = 1; i <= 1000; i++) {
        assert_int_equal(put(ring, i, 333, 999), 0);
    }

    /* it is told once, and then everything that is still there comes */

    assert_int_equal(get(ring, &cursor, 0, &n), NGX_GOIM_RING_LAPPED);
    assert_int_equal(get(ring, &cursor, 0, &last), NGX_GOIM_RING_OK);
    assert_true(last > 900 && last < 1000);

    while ((rc = get(ring, &cursor, 0, &n)) == NGX_GOIM_RING_OK) {
        assert_int_equal(n, last + 1);
        last = n;
    }

    assert_int_equal(rc, NGX_GOIM_RING_EMPTY);
    assert_int_equal(last, 1000);

    free(ring);
}


/* a writer that was stopped between prepare and publish, and wakes up late */

static void
test_out_of_turn(void **state)
{
    int64_t           n;
    uint64_t          cursor;
    ngx_goim_ring_t  *ring;
    uint8_t           data[64] = "late";

    (void) state;

    ring = ring_make(SMALL);
    cursor = 0;

    assert_int_equal(put(ring, 1, 100, 999), 0);
    assert_int_equal(put(ring, 2, 500, 999), 0);
    assert_int_equal(put(ring, 3, 100, 999), 0);

    assert_int_equal(get(ring, &cursor, 0, &n), NGX_GOIM_RING_OK);

    /* its bytes fall into the middle of entry 2 */

    memcpy(ring->data + cursor + 200, data, sizeof(data));

    assert_int_equal(get(ring, &cursor, 0, &n), NGX_GOIM_RING_CORRUPT);

    /* not endless, and what comes later is taken again */

    assert_int_equal(get(ring, &cursor, 0, &n), NGX_GOIM_RING_EMPTY);
    assert_int_equal(put(ring, 4, 100, 999), 0);
    assert_int_equal(get(ring, &cursor, 0, &n), NGX_GOIM_RING_OK);
    assert_int_equal(n, 4);

    free(ring);
}


static void
test_newest(void **state)
{
    size_t               need;
    uint64_t             i;
    ngx_goim_ring_t     *ring;
    _Alignas(8) uint8_t  buf[SMALL];

    (void) state;

    ring = ring_make(SMALL);

    assert_int_equal(ngx_goim_ring_newest(ring, buf, sizeof(buf), &need),
                     NGX_GOIM_RING_EMPTY);

    for (i = 1; i < 300; i++) {
        assert_int_equal(put(ring, i, i * 5, 999), 0);
        assert_int_equal(ngx_goim_ring_newest(ring, buf, sizeof(buf), &need),
                         NGX_GOIM_RING_OK);
        assert_int_equal(number(buf), i);
    }

    free(ring);
}


/*
 * What a writer that dies leaves behind is either all of an entry or nothing
 * of it: visible, newest and at the end of the ring by one word.
 */

static void
test_one_commit(void **state)
{
    size_t                 i, n, need, bytes;
    uint64_t               k, *before, *after;
    ngx_goim_ring_t       *ring;
    ngx_goim_ring_entry_t  e;
    _Alignas(8) uint8_t    buf[SMALL];
    uint8_t                data[700];

    (void) state;

    ring = ring_make(SMALL);
    before = malloc(SMALL);
    after = (uint64_t *) ring;
    bytes = sizeof(ngx_goim_ring_t) + ring->size;

    assert_non_null(before);
    memset(data, 0, sizeof(data));

    for (k = 1; k < 200; k++) {
        assert_int_equal(put(ring, k, k * 3 % 600, 999), 0);

        memset(&e, 0, sizeof(e));
        e.id[1] = 1000000;
        e.used = (uint32_t) (k * 7 % 700);

        assert_int_equal(ngx_goim_ring_prepare(ring, &e, data), 0);

        /* not yet: the newest is the one before */

        assert_int_equal(ngx_goim_ring_newest(ring, buf, sizeof(buf), &need),
                         NGX_GOIM_RING_OK);
        assert_int_equal(number(buf), k);

        memcpy(before, ring, bytes);
        ngx_goim_ring_publish(ring, &e);

        for (i = 0, n = 0; i < bytes / sizeof(uint64_t); i++) {
            n += before[i] != after[i];
        }

        assert_int_equal(n, 1);
        assert_int_equal(ngx_goim_ring_newest(ring, buf, sizeof(buf), &need),
                         NGX_GOIM_RING_OK);
        assert_int_equal(((ngx_goim_ring_entry_t *) buf)->id[1], 1000000);
    }

    free(before);
    free(ring);
}


/* a last word that somebody overwrote is no length */

static void
test_newest_damaged(void **state)
{
    size_t               i, need;
    uint64_t             word, wrong[] = { 0, 8, 1, 4096 + 1, SMALL, 1 << 30,
                                           (uint64_t) -1 };
    ngx_goim_ring_t     *ring;
    _Alignas(8) uint8_t  buf[SMALL];

    (void) state;

    ring = ring_make(SMALL);

    assert_int_equal(put(ring, 1, 100, 999), 0);
    assert_int_equal(put(ring, 2, 100, 999), 0);

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        word = wrong[i];
        memcpy(ring->data + ngx_goim_ring_head(ring) - 8, &word, 8);
        assert_int_equal(ngx_goim_ring_newest(ring, buf, sizeof(buf), &need),
                         NGX_GOIM_RING_CORRUPT);
    }

    free(ring);
}


/* who is never more than half a ring behind is never lapped */

static void
test_behind(void **state)
{
    int               rc;
    int64_t           n;
    size_t            room;
    unsigned          seed;
    uint64_t          i, cursor, waited;
    ngx_goim_ring_t  *ring;

    (void) state;

    ring = ring_make(SMALL);
    room = ngx_goim_ring_room(ring);
    cursor = 0;
    waited = 0;
    n = 0;
    seed = 7;

    for (i = 1; i <= 20000; i++) {

        while (ngx_goim_ring_behind(ring, cursor)) {
            rc = get(ring, &cursor, 0, &n);
            assert_int_equal(rc, NGX_GOIM_RING_OK);
            waited++;
        }

        seed = seed * 1103515245 + 12345;
        assert_int_equal(put(ring, i, (seed >> 8) % (room + 1), 999), 0);
    }

    assert_true(waited > 1000);

    while ((rc = get(ring, &cursor, 0, &n)) == NGX_GOIM_RING_OK) {
        /* void */
    }

    assert_int_equal(rc, NGX_GOIM_RING_EMPTY);
    assert_int_equal(n, 20000);

    free(ring);
}


/* ---- a writer and readers at the same time ---- */

#define ENTRIES  200000


typedef struct {
    ngx_goim_ring_t  *ring;
    unsigned          slot;
    uint64_t          got;
    uint64_t          lapped;
    int               wrong;
} follower_t;


static int  writing;


static void *
follow(void *data)
{
    int          rc, go_on;
    int64_t      n, last;
    uint64_t     cursor;
    follower_t  *f;

    f = data;
    cursor = 0;
    last = 0;
    n = 0;

    for ( ;; ) {
        go_on = __atomic_load_n(&writing, __ATOMIC_ACQUIRE);
        rc = get(f->ring, &cursor, f->slot, &n);

        switch (rc) {

        case NGX_GOIM_RING_OK:
            /* whole, newer than the last, and nothing left out unless the
               reader was told that it was lapped */

            if (n <= last || (f->lapped == 0 && n != last + 1)) {
                f->wrong = 1;
                return NULL;
            }

            last = n;
            f->got++;
            break;

        case NGX_GOIM_RING_LAPPED:
            f->lapped++;
            break;

        case NGX_GOIM_RING_EMPTY:
            if (!go_on) {
                return NULL;
            }
            break;

        default:
            f->wrong = 1;
            return NULL;
        }
    }
}


static void
test_threads(void **state)
{
    unsigned          i;
    uint64_t          n;
    pthread_t         threads[3];
    follower_t        followers[3];
    ngx_goim_ring_t  *ring;

    (void) state;

    ring = ring_make(256 * 1024);
    memset(followers, 0, sizeof(followers));
    __atomic_store_n(&writing, 1, __ATOMIC_RELEASE);

    for (i = 0; i < 3; i++) {
        followers[i].ring = ring;
        followers[i].slot = i * 100;
        assert_int_equal(pthread_create(&threads[i], NULL, follow,
                                        &followers[i]), 0);
    }

    for (n = 1; n <= ENTRIES; n++) {
        assert_int_equal(put(ring, n, n * 13 % 700, 999), 0);
    }

    __atomic_store_n(&writing, 0, __ATOMIC_RELEASE);

    for (i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(followers[i].wrong);
        assert_true(followers[i].got > 0);
    }

    free(ring);
}


/*
 * The writer comes in the middle of a copy: the reader's first byte meets a page
 * that nobody may write to, and the handler of that laps it.  It is told so, and
 * not that something is damaged.
 */

static struct {
    ngx_goim_ring_t  *ring;
    void             *page;
    size_t            size;
    uint64_t          n;
} midst;


static void
midst_written(int sig)
{
    int  i;

    (void) sig;

    mprotect(midst.page, midst.size, PROT_READ | PROT_WRITE);

    for (i = 0; i < 8; i++) {
        put(midst.ring, ++midst.n, 3000, 0);
    }
}


static void
test_lapped_in_the_midst(void **state)
{
    int               rc;
    size_t            need;
    uint64_t          cursor, before;
    struct sigaction  sa, was;

    (void) state;

    midst.ring = ring_make(SMALL);
    midst.size = SMALL;
    midst.page = mmap(NULL, midst.size, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(midst.page, MAP_FAILED);

    cursor = ngx_goim_ring_head(midst.ring);
    before = cursor;
    midst.n = 1;
    assert_int_equal(put(midst.ring, midst.n, 3000, 0), 0);

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = midst_written;
    sigaction(SIGSEGV, &sa, &was);

    rc = ngx_goim_ring_read(midst.ring, &cursor, 0, midst.page, midst.size,
                            &need);

    sigaction(SIGSEGV, &was, NULL);

    assert_int_equal(midst.n, 9);
    assert_int_equal(rc, NGX_GOIM_RING_LAPPED);
    assert_true(cursor > before);
    assert_int_equal(ngx_goim_ring_read(midst.ring, &cursor, 0, midst.page,
                                        midst.size, &need),
                     NGX_GOIM_RING_OK);

    munmap(midst.page, midst.size);
    free(midst.ring);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_for_others),
        cmocka_unit_test(test_lapped),
        cmocka_unit_test(test_lapped_in_the_midst),
        cmocka_unit_test(test_out_of_turn),
        cmocka_unit_test(test_newest),
        cmocka_unit_test(test_one_commit),
        cmocka_unit_test(test_newest_damaged),
        cmocka_unit_test(test_behind),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
