/* LINK: job/place.c */

/*
 * The place in each partition moves over the contiguous prefix of what is
 * done, and over nothing else.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "job/place.h"


#define PARTS  4


typedef struct {
    job_place_t  place;
    size_t       used;
    uint64_t     done[PARTS];       /* 0: never told */
    unsigned     calls;
} fixture_t;


static void
on_done(void *data, uint32_t partition, const goim_offset_t *offset)
{
    fixture_t  *f = data;

    uint64_t  high, low;

    goim_offset_get(offset, &high, &low);

    assert_true(partition < PARTS);
    assert_true(low > f->done[partition]);      /* it never goes back */

    f->done[partition] = low;
    f->calls++;
}


static void
setup(fixture_t *f)
{
    memset(f, 0, sizeof(fixture_t));
    job_place_init(&f->place, on_done, f);
}


static goim_offset_t
at(uint64_t n)
{
    goim_offset_t  offset;

    goim_offset_set(&offset, 0, n);

    return offset;
}


/* Taken; the only reference left is the partition's. */

static job_msg_t *
take(fixture_t *f, uint32_t partition, uint64_t n)
{
    job_msg_t      *msg;
    goim_offset_t   offset;

    offset = at(n);
    msg = job_msg_new(partition, &offset, (const uint8_t *) "body", 4,
                      &f->used);

    job_place_take(&f->place, msg);
    job_msg_unref(msg);

    return msg;
}


static void
skipped(fixture_t *f, uint32_t partition, uint64_t n)
{
    goim_offset_t  offset;

    offset = at(n);
    job_place_skip(&f->place, partition, &offset);
}


static void
test_in_order(void **state)
{
    fixture_t   f;
    job_msg_t  *a, *b;

    (void) state;

    setup(&f);

    a = take(&f, 0, 1);
    b = take(&f, 0, 2);

    assert_int_equal(f.place.count, 2);
    assert_true(f.used > 8);

    job_place_ack(&f.place, a);
    assert_int_equal(f.done[0], 1);

    job_place_ack(&f.place, b);
    assert_int_equal(f.done[0], 2);

    assert_int_equal(f.place.count, 0);
    assert_int_equal(f.used, 0);

    job_place_free(&f.place);
}


static void
test_gap(void **state)
{
    unsigned    i;
    fixture_t   f;
    job_msg_t  *m[5];

    (void) state;

    setup(&f);

    for (i = 0; i < 5; i++) {
        m[i] = take(&f, 1, 10 + i);
    }

    job_place_ack(&f.place, m[4]);
    job_place_ack(&f.place, m[1]);
    job_place_ack(&f.place, m[2]);
    assert_int_equal(f.calls, 0);

    job_place_ack(&f.place, m[0]);
    assert_int_equal(f.done[1], 12);
    assert_int_equal(f.calls, 1);

    job_place_ack(&f.place, m[3]);
    assert_int_equal(f.done[1], 14);
    assert_int_equal(f.used, 0);

    job_place_free(&f.place);
}


static void
test_several_nodes(void **state)
{
    fixture_t   f;
    job_msg_t  *a;

    (void) state;

    setup(&f);

    a = take(&f, 0, 1);

    a->pending += 2;                    /* two nodes, then fan-out's own */
    job_place_ack(&f.place, a);
    job_place_ack(&f.place, a);
    assert_int_equal(f.calls, 0);

    job_place_ack(&f.place, a);
    assert_int_equal(f.done[0], 1);

    job_place_free(&f.place);
}


static void
test_partitions_apart(void **state)
{
    fixture_t   f;
    job_msg_t  *a, *b;

    (void) state;

    setup(&f);

    a = take(&f, 0, 1);
    b = take(&f, 3, 7);

    job_place_ack(&f.place, b);
    assert_int_equal(f.done[3], 7);
    assert_int_equal(f.done[0], 0);

    job_place_ack(&f.place, a);
    assert_int_equal(f.done[0], 1);

    job_place_free(&f.place);
}


static void
test_skip(void **state)
{
    fixture_t   f;
    job_msg_t  *a, *b;

    (void) state;

    setup(&f);

    skipped(&f, 0, 1);
    assert_int_equal(f.done[0], 1);     /* nothing before it */

    a = take(&f, 0, 2);
    skipped(&f, 0, 3);
    skipped(&f, 0, 4);
    b = take(&f, 0, 5);
    skipped(&f, 0, 6);
    assert_int_equal(f.done[0], 1);

    job_place_ack(&f.place, a);
    assert_int_equal(f.done[0], 4);

    job_place_ack(&f.place, b);
    assert_int_equal(f.done[0], 6);

    job_place_free(&f.place);
}


static void
test_seen(void **state)
{
    fixture_t       f;
    goim_offset_t   offset;

    (void) state;

    setup(&f);

    offset = at(5);
    assert_false(job_place_seen(&f.place, 0, &offset));

    take(&f, 0, 5);
    assert_true(job_place_seen(&f.place, 0, &offset));
    assert_false(job_place_seen(&f.place, 1, &offset));

    offset = at(6);
    assert_false(job_place_seen(&f.place, 0, &offset));

    skipped(&f, 0, 6);
    assert_true(job_place_seen(&f.place, 0, &offset));

    job_place_revoke(&f.place, 0);
    assert_false(job_place_seen(&f.place, 0, &offset));

    job_place_free(&f.place);
}


static void
test_revoked(void **state)
{
    fixture_t   f;
    job_msg_t  *a, *b, *again;

    (void) state;

    setup(&f);

    a = take(&f, 0, 1);
    b = take(&f, 0, 2);
    a->refs++;                          /* in a node's queue */
    b->refs++;

    job_place_ack(&f.place, b);
    job_place_revoke(&f.place, 0);

    assert_null(a->part);
    assert_null(b->part);
    assert_int_equal(f.place.count, 0);

    again = take(&f, 0, 1);

    job_place_ack(&f.place, a);         /* of the time before */
    assert_int_equal(f.calls, 0);

    job_msg_unref(a);
    job_msg_unref(b);

    job_place_ack(&f.place, again);
    assert_int_equal(f.done[0], 1);
    assert_int_equal(f.used, 0);

    job_place_revoke(&f.place, 3);      /* nothing was taken of it */
    job_place_revoke(&f.place, 100000);

    job_place_free(&f.place);
}


/* Against a plain model: any order of taking, skipping, acknowledging. */

static void
test_random(void **state)
{
    unsigned    n, last, i, prefix, seed, step, pick;
    fixture_t   f;
    job_msg_t  *m[200];
    char        is_done[201];

    (void) state;

    for (seed = 1; seed <= 200; seed++) {
        srandom(seed);
        setup(&f);
        memset(m, 0, sizeof(m));
        memset(is_done, 0, sizeof(is_done));
        n = 0;
        last = 0;

        for (step = 0; step < 600; step++) {
            pick = (unsigned) random() % 5;

            if (pick < 2 && n < 199) {
                n++;
                m[n] = take(&f, 2, n);
                last = n;

            } else if (pick == 2 && n < 199) {
                n++;
                is_done[n] = 1;
                skipped(&f, 2, n);

            } else if (n > 0) {
                i = 1 + (unsigned) random() % n;

                if (m[i] != NULL) {
                    is_done[i] = 1;
                    job_place_ack(&f.place, m[i]);
                    m[i] = NULL;
                }
            }

            for (prefix = 0; is_done[prefix + 1]; prefix++) { /* void */ }

            assert_int_equal(f.done[2], prefix);
        }

        for (i = 1; i <= last; i++) {
            if (m[i] != NULL) {
                job_place_ack(&f.place, m[i]);
            }
        }

        assert_int_equal(f.done[2], n);
        assert_int_equal(f.used, 0);

        job_place_free(&f.place);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_several_nodes),
        cmocka_unit_test(test_partitions_apart),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_random)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
