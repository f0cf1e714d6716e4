/* LINK: job/record.c job/place.c */

/*
 * Records of the bus: what is taken, what is refused and why, and that the
 * packed pieces put one behind the other are the Delivery a comet reads.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "job/place.h"
#include "job/record.h"


static uint8_t  payload[1024 * 1024];


static job_bad_t
parse(job_arena_t *arena, const Goim__PushMsg *push, Goim__PushMsg **got)
{
    size_t  len;

    assert_true(goim__push_msg__get_packed_size(push) <= sizeof(payload));
    len = goim__push_msg__pack(push, payload);

    return job_record_parse(arena, payload, len, got);
}


static Goim__Delivery *
packed(job_arena_t *arena, const Goim__PushMsg *push, size_t nodes,
    uint64_t sessions)
{
    size_t           len;
    uint8_t         *data;
    size_t           used;
    job_msg_t       *msg;
    goim_offset_t    offset;
    Goim__Delivery  *delivery;

    used = 0;
    goim_offset_set(&offset, 1, 2);
    msg = job_msg_new(7, &offset, NULL, 0, &used);

    if (push->type != GOIM__PUSH_MSG__TYPE__PUSH) {
        job_msg_number(msg, 57, "epoch", 5);
    }

    assert_int_equal(job_record_pack(arena, push, msg, nodes, sessions, &data,
                                     &len),
                     JOB_GOOD);

    job_msg_unref(msg);
    assert_int_equal(used, 0);

    delivery = goim__delivery__unpack(NULL, len, data);
    free(data);

    assert_non_null(delivery);
    assert_int_equal(delivery->n_records, 1);
    assert_int_equal(delivery->records[0]->partition, 7);
    assert_int_equal(delivery->records[0]->offset.len, GOIM_OFFSET_LEN);
    assert_memory_equal(delivery->records[0]->offset.data, offset.b,
                        GOIM_OFFSET_LEN);

    return delivery;
}


static void
test_keys(void **state)
{
    char             long_key[GOIM_KEY_MAX + 2];
    char            *keys[] = { "a", "", "bb", long_key };
    job_arena_t      arena;
    Goim__PushMsg    push = GOIM__PUSH_MSG__INIT, *got;
    Goim__Record    *r;
    Goim__Delivery  *d;

    (void) state;

    memset(long_key, 'k', sizeof(long_key));
    long_key[sizeof(long_key) - 1] = '\0';

    job_arena_init(&arena);

    push.type = GOIM__PUSH_MSG__TYPE__PUSH;
    push.operation = 1000;
    push.server = "comet-1";
    push.keys = keys;
    push.n_keys = 4;
    push.msg.data = (uint8_t *) "he\0lo";
    push.msg.len = 5;

    assert_int_equal(parse(&arena, &push, &got), JOB_GOOD);
    assert_string_equal(got->server, "comet-1");

    d = packed(&arena, got, 1, 0);
    r = d->records[0];

    assert_int_equal(r->kind, GOIM__RECORD__KIND__KEYS);
    assert_int_equal(r->operation, 1000);
    assert_int_equal(r->n_keys, 2);             /* the bad ones left out */
    assert_int_equal(r->keys[0].len, 1);
    assert_memory_equal(r->keys[1].data, "bb", 2);
    assert_int_equal(r->body.len, 5);
    assert_memory_equal(r->body.data, "he\0lo", 5);

    goim__delivery__free_unpacked(d, NULL);
    job_arena_free(&arena);
}


static void
test_room(void **state)
{
    job_arena_t      arena;
    Goim__PushMsg    push = GOIM__PUSH_MSG__INIT, *got;
    Goim__Delivery  *d;

    (void) state;

    job_arena_init(&arena);

    push.type = GOIM__PUSH_MSG__TYPE__ROOM;
    push.operation = -5;
    push.room = "live://1";
    push.speed = 100;

    assert_int_equal(parse(&arena, &push, &got), JOB_GOOD);

    d = packed(&arena, got, 3, 0);
    assert_int_equal(d->records[0]->kind, GOIM__RECORD__KIND__ROOM);
    assert_int_equal(d->records[0]->operation, -5);
    assert_int_equal(d->records[0]->room.len, 8);
    assert_memory_equal(d->records[0]->room.data, "live://1", 8);
    assert_string_equal(d->records[0]->timeline, "epoch");
    assert_int_equal(d->records[0]->seq, 57);
    assert_int_equal(d->records[0]->body.len, 0);
    assert_int_equal(d->records[0]->speed, 0);

    goim__delivery__free_unpacked(d, NULL);
    job_arena_free(&arena);
}


static void
test_speed(void **state)
{
    size_t           i;
    job_arena_t      arena;
    Goim__PushMsg    push = GOIM__PUSH_MSG__INIT, *got;
    Goim__Delivery  *d;

    static const struct {
        int32_t   speed;
        uint64_t  sessions;
        uint32_t  pace;
        uint32_t  of;
    } cases[] = {
        { 0, 100, 0, 0 }, { -1, 100, 0, 0 }, { INT32_MIN, 100, 0, 0 },
        { 1, 0, 1, 0 }, { 3, 1000000, 3, 1000000 },
        { INT32_MAX, 1ull << 40, INT32_MAX, UINT32_MAX }
    };

    (void) state;

    job_arena_init(&arena);

    push.type = GOIM__PUSH_MSG__TYPE__BROADCAST;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        push.speed = cases[i].speed;

        assert_int_equal(parse(&arena, &push, &got), JOB_GOOD);

        d = packed(&arena, got, 3, cases[i].sessions);
        assert_int_equal(d->records[0]->kind, GOIM__RECORD__KIND__ALL);
        assert_int_equal(d->records[0]->seq, 0);
        assert_int_equal(d->records[0]->speed, cases[i].pace);
        assert_int_equal(d->records[0]->sessions, cases[i].of);
        assert_int_equal(d->records[0]->nodes, cases[i].pace ? 3 : 0);
        goim__delivery__free_unpacked(d, NULL);
    }

    job_arena_free(&arena);
}


static void
test_refused(void **state)
{
    char            *keys[] = { "a" }, *empty[] = { "", "" };
    char             name[GOIM_KEY_MAX + 2];
    job_arena_t      arena;
    Goim__PushMsg    push = GOIM__PUSH_MSG__INIT, *got;

    (void) state;

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';

    job_arena_init(&arena);

    push.keys = keys;
    push.n_keys = 1;
    assert_int_equal(parse(&arena, &push, &got), JOB_BAD_SERVER);

    push.server = name;
    assert_int_equal(parse(&arena, &push, &got), JOB_BAD_SERVER);

    push.server = "s";
    assert_int_equal(parse(&arena, &push, &got), JOB_GOOD);

    push.n_keys = 0;
    assert_int_equal(parse(&arena, &push, &got), JOB_BAD_KEYS);

    push.keys = empty;
    push.n_keys = 2;
    assert_int_equal(parse(&arena, &push, &got), JOB_BAD_KEYS);

    push.type = GOIM__PUSH_MSG__TYPE__ROOM;
    assert_int_equal(parse(&arena, &push, &got), JOB_BAD_ROOM);

    push.room = name;
    assert_int_equal(parse(&arena, &push, &got), JOB_BAD_ROOM);

    push.type = (Goim__PushMsg__Type) 3;
    assert_int_equal(parse(&arena, &push, &got), JOB_BAD_TYPE);

    push.type = (Goim__PushMsg__Type) -1;
    assert_int_equal(parse(&arena, &push, &got), JOB_BAD_TYPE);

    assert_int_equal(job_record_parse(&arena, (const uint8_t *) "\xff\xff",
                                      2, &got),
                     JOB_BAD_PARSE);

    /* an empty payload is a PushMsg of defaults: to no server */

    assert_int_equal(job_record_parse(&arena, (const uint8_t *) "", 0, &got),
                     JOB_BAD_SERVER);

    job_arena_free(&arena);
}


/* Small on the wire, large in memory: bounded, and the next one is fine. */

static void
test_bomb(void **state)
{
    size_t          i, len;
    job_arena_t     arena;
    Goim__PushMsg   push = GOIM__PUSH_MSG__INIT, *got;

    (void) state;

    job_arena_init(&arena);

    /* empty keys: two bytes each */

    len = 512 * 1024;
    for (i = 0; i < len; i += 2) {
        payload[i] = 6 << 3 | 2;
        payload[i + 1] = 0;
    }

    assert_int_not_equal(job_record_parse(&arena, payload, len, &got),
                         JOB_GOOD);
    assert_true(arena.total <= arena.limit);

    /* unknown fields: two bytes each */

    for (i = 0; i < len; i += 2) {
        payload[i] = 15 << 3;
        payload[i + 1] = 0;
    }

    (void) job_record_parse(&arena, payload, len, &got);
    assert_true(arena.total <= arena.limit);

    push.type = GOIM__PUSH_MSG__TYPE__ROOM;
    push.room = "live://1";
    assert_int_equal(parse(&arena, &push, &got), JOB_GOOD);

    job_arena_free(&arena);
}


/* Any bytes: no crash, no leak (sanitizers look on). */

static void
test_noise(void **state)
{
    size_t          i, len, flips;
    unsigned        round;
    char           *keys[] = { "alpha", "beta", "gamma" };
    job_arena_t     arena;
    Goim__PushMsg   push = GOIM__PUSH_MSG__INIT, *got;

    (void) state;

    srandom(4711);
    job_arena_init(&arena);

    push.server = "comet-1";
    push.keys = keys;
    push.n_keys = 3;
    push.msg.data = (uint8_t *) "0123456789";
    push.msg.len = 10;

    for (round = 0; round < 20000; round++) {

        if (round % 2) {
            len = goim__push_msg__pack(&push, payload);

            for (flips = 1 + (size_t) random() % 4; flips > 0; flips--) {
                payload[(size_t) random() % len] = (uint8_t) random();
            }

        } else {
            len = (size_t) random() % 200;

            for (i = 0; i < len; i++) {
                payload[i] = (uint8_t) random();
            }
        }

        if (job_record_parse(&arena, payload, len, &got) == JOB_GOOD) {
            goim__delivery__free_unpacked(packed(&arena, got, 2, 0), NULL);
        }
    }

    job_arena_free(&arena);
}


/* An append: the epoch's Delivery and the records' in one row. */

static void
test_merge(void **state)
{
    size_t           n, len;
    uint8_t          out[1024], *data;
    unsigned         i;
    job_arena_t      arena;
    job_msg_t        msg = { .partition = 0 };
    Goim__PushMsg    push = GOIM__PUSH_MSG__INIT;
    Goim__Delivery   epoch = GOIM__DELIVERY__INIT, *d;

    (void) state;

    job_arena_init(&arena);

    epoch.epoch.data = (uint8_t *) "epoch-1";
    epoch.epoch.len = 7;
    n = goim__delivery__pack(&epoch, out);

    push.type = GOIM__PUSH_MSG__TYPE__ROOM;
    push.room = "live://1";

    for (i = 0; i < 5; i++) {
        push.operation = (int32_t) i;
        goim_offset_set(&msg.offset, 0, i);
        msg.partition = i;

        job_record_pack(&arena, &push, &msg, 1, 0, &data, &len);
        memcpy(out + n, data, len);
        n += len;
        free(data);
    }

    d = goim__delivery__unpack(NULL, n, out);
    assert_non_null(d);
    assert_int_equal(d->epoch.len, 7);
    assert_memory_equal(d->epoch.data, "epoch-1", 7);
    assert_int_equal(d->n_records, 5);

    for (i = 0; i < 5; i++) {
        assert_int_equal(d->records[i]->operation, i);
        assert_int_equal(d->records[i]->partition, i);
    }

    goim__delivery__free_unpacked(d, NULL);
    job_arena_free(&arena);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_speed),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_merge)
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
