/*
 * Packets, positions and RPC frames (common/).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/goim_packet.h"
#include "common/goim_position.h"
#include "common/goim_rpc.h"


/* ---- packets ---- */

static void
test_packet(void **state)
{
    uint8_t        buf[64], *end;
    goim_packet_t  p;

    (void) state;

    end = goim_packet_header(buf, 4, 1, GOIM_OP_AUTH, -2);
    assert_ptr_equal(end, buf + GOIM_HEADER);
    assert_memory_equal(buf, "\0\0\0\x14\0\x10\0\1\0\0\0\7\xff\xff\xff\xfe",
                        16);
    memcpy(end, "body", 4);

    assert_int_equal(goim_packet_parse(&p, buf, 20, GOIM_MAX_BODY),
                     GOIM_PACKET_OK);
    assert_int_equal(p.length, 20);
    assert_int_equal(p.version, 1);
    assert_int_equal(p.operation, 7);
    assert_int_equal(p.sequence, -2);
    assert_int_equal(p.body_len, 4);
    assert_ptr_equal(p.body, buf + 16);

    /* what stands behind is somebody else's */

    assert_int_equal(goim_packet_parse(&p, buf, 64, GOIM_MAX_BODY),
                     GOIM_PACKET_OK);
    assert_int_equal(p.body_len, 4);
}


static void
test_packet_parts(void **state)
{
    size_t         n;
    uint8_t        buf[20], *copy;
    goim_packet_t  p;

    (void) state;

    goim_packet_header(buf, 4, 1, 2, 3);

    /* in memory of just that size, so that a sanitizer sees a read behind */

    for (n = 0; n < 20; n++) {
        copy = malloc(n + !n);
        memcpy(copy, buf, n);
        assert_int_equal(goim_packet_parse(&p, copy, n, GOIM_MAX_BODY),
                         GOIM_PACKET_AGAIN);
        free(copy);
    }
}


static void
test_packet_bad(void **state)
{
    size_t         i;
    uint8_t        buf[GOIM_HEADER + GOIM_MAX_BODY];
    goim_packet_t  p;

    static const struct {
        const char  *bytes;
        size_t       len;
        int          rc;
    } cases[] = {
        { "\0\0\0\x0f", 4, GOIM_PACKET_BAD_LENGTH },
        { "\0\0\0\0", 4, GOIM_PACKET_BAD_LENGTH },
        { "\xff\xff\xff\xff", 4, GOIM_PACKET_BAD_LENGTH },
        { "\x80\0\0\x10", 4, GOIM_PACKET_BAD_LENGTH },
        { "\0\0\x10\x11", 4, GOIM_PACKET_BAD_LENGTH },
        { "\0\0\x10\x10", 4, GOIM_PACKET_AGAIN },
        { "\0\0\0\x10\0\x0f", 6, GOIM_PACKET_BAD_HEADER },
        { "\0\0\0\x10\1\x10", 6, GOIM_PACKET_BAD_HEADER },
        { "\0\0\0\x10\0\x10", 6, GOIM_PACKET_AGAIN },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(goim_packet_parse(&p,
                                           (const uint8_t *) cases[i].bytes,
                                           cases[i].len, GOIM_MAX_BODY),
                         cases[i].rc);
    }

    /* the largest body, and the smallest */

    memset(buf, 0, sizeof(buf));
    goim_packet_header(buf, GOIM_MAX_BODY, 1, 4, 5);
    assert_int_equal(goim_packet_parse(&p, buf, sizeof(buf), GOIM_MAX_BODY),
                     GOIM_PACKET_OK);
    assert_int_equal(p.body_len, 4096);

    goim_packet_header(buf, 0, 65535, 2147483647, -2147483647 - 1);
    assert_int_equal(goim_packet_parse(&p, buf, 16, 0), GOIM_PACKET_OK);
    assert_int_equal(p.body_len, 0);
    assert_int_equal(p.version, 65535);
    assert_int_equal(p.operation, 2147483647);
    assert_int_equal(p.sequence, -2147483647 - 1);

    assert_non_null(goim_packet_error(GOIM_PACKET_BAD_LENGTH));
    assert_non_null(goim_packet_error(GOIM_PACKET_BAD_HEADER));
    assert_non_null(goim_packet_error(GOIM_PACKET_AGAIN));
    assert_non_null(goim_packet_error(GOIM_PACKET_OK));
}


/* ---- positions ---- */

static void
test_offset(void **state)
{
    size_t          i, j;
    uint64_t        high, low;
    goim_offset_t   o[6];

    static const uint64_t  v[6][2] = {
        { 0, 0 }, { 0, 1 }, { 0, UINT64_MAX }, { 1, 0 },
        { 1795237858659ull, 7 }, { UINT64_MAX, UINT64_MAX }
    };

    (void) state;

    for (i = 0; i < 6; i++) {
        goim_offset_set(&o[i], v[i][0], v[i][1]);
        goim_offset_get(&o[i], &high, &low);
        assert_true(high == v[i][0] && low == v[i][1]);
    }

    for (i = 0; i < 6; i++) {
        for (j = 0; j < 6; j++) {
            assert_int_equal(goim_offset_cmp(&o[i], &o[j]) < 0, i < j);
            assert_int_equal(goim_offset_cmp(&o[i], &o[j]) == 0, i == j);
        }
    }

    goim_offset_set(&o[0], 0, 0x0102030405060708ull);
    assert_memory_equal(o[0].b, "\0\0\0\0\0\0\0\0\1\2\3\4\5\6\7\x08", 16);
}


/* Values of Go's hash/fnv, made positive as Sarama does. */
static void
test_partition(void **state)
{
    int       n;
    size_t    i;

    static const struct {
        const char  *key;
        uint32_t     hash;
    } cases[] = {
        { "", 0x7ee3623b },
        { "a", 0x1bf3d6d4 },
        { "foobar", 0x40630698 },
        { "kafka", 0x0d33c4e1 },
        { "giberish123456789", 0x77a58295 },
        { "1234", 0x023bdd03 },
        { "234", 0x2dea3cd2 },
        { "34", 0x740fa83e },
        { "4", 0x310ca263 },
        { "PreAmbleWillBeRemoved,ThePrePartThatIs", 0x65cbd69c },
        { "reAmbleWillBeRemoved,ThePrePartThatIs", 0x6e49c79a }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        /* more partitions than hashes: the hash itself */

        assert_int_equal(goim_partition(cases[i].key, strlen(cases[i].key),
                                        0x80000001u),
                         cases[i].hash);

        for (n = 1; n < 100; n++) {
            assert_int_equal(goim_partition(cases[i].key,
                                            strlen(cases[i].key),
                                            (uint32_t) n),
                             cases[i].hash % (uint32_t) n);
        }
    }

    /* bytes above 127 are bytes */

    assert_int_equal(goim_partition("\xff", 1, 0x80000001u),
                     goim_partition((const uint8_t *) "\377", 1,
                                    0x80000001u));
    assert_in_range(goim_partition("a\0b", 3, 7), 0, 6);
}


/* ---- RPC ---- */

static void
test_rpc(void **state)
{
    size_t          n, len, used;
    uint8_t         buf[64], *copy;
    const uint8_t  *frame;

    (void) state;

    goim_rpc_header(buf, 5);
    assert_memory_equal(buf, "\0\0\0\5", 4);
    memcpy(buf + 4, "hello", 5);
    goim_rpc_header(buf + 9, 0);

    for (n = 0; n < 9; n++) {
        copy = malloc(n + !n);
        memcpy(copy, buf, n);
        assert_int_equal(goim_rpc_parse(copy, n, GOIM_RPC_MAX, &frame, &len, &used),
                         GOIM_RPC_AGAIN);
        free(copy);
    }

    assert_int_equal(goim_rpc_parse(buf, 13, GOIM_RPC_MAX, &frame, &len, &used),
                     GOIM_RPC_OK);
    assert_ptr_equal(frame, buf + 4);
    assert_int_equal(len, 5);
    assert_int_equal(used, 9);

    assert_int_equal(goim_rpc_parse(buf + used, 4, GOIM_RPC_MAX, &frame, &len, &used),
                     GOIM_RPC_OK);
    assert_int_equal(len, 0);
    assert_int_equal(used, 4);

    /* the limit */

    goim_rpc_header(buf, GOIM_RPC_MAX);
    assert_int_equal(goim_rpc_parse(buf, 64, GOIM_RPC_MAX, &frame, &len, &used),
                     GOIM_RPC_AGAIN);
    goim_rpc_header(buf, GOIM_RPC_MAX + 1);
    assert_int_equal(goim_rpc_parse(buf, 64, GOIM_RPC_MAX, &frame, &len, &used),
                     GOIM_RPC_TOO_LONG);
    assert_int_equal(goim_rpc_parse((const uint8_t *) "\xff\xff\xff\xff", 4,
                                    GOIM_RPC_MAX,
                                    &frame, &len, &used),
                     GOIM_RPC_TOO_LONG);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_packet),
        cmocka_unit_test(test_packet_parts),
        cmocka_unit_test(test_packet_bad),
        cmocka_unit_test(test_offset),
        cmocka_unit_test(test_partition),
        cmocka_unit_test(test_rpc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
