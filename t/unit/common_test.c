/*
 * What module and services share: packets, operations, RPC frames, positions,
 * partitions, checksums, WebSocket headers. At the boundaries.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/goim_crc32c.h"
#include "common/goim_frame.h"
#include "common/goim_hash.h"
#include "common/goim_packet.h"
#include "common/goim_position.h"
#include "common/goim_rpc.h"


static void
packet_roundtrip(void **state)
{
    uint8_t        data[GOIM_HEADER + 5];
    goim_packet_t  p;

    (void) state;

    assert_ptr_equal(goim_packet_header(data, 5, 1, -7, -2147483647),
                     data + GOIM_HEADER);
    memcpy(data + GOIM_HEADER, "hello", 5);

    assert_int_equal(goim_packet_parse(&p, data, sizeof(data), 4096),
                     GOIM_PACKET_OK);
    assert_int_equal(p.length, 21);
    assert_int_equal(p.version, 1);
    assert_int_equal(p.operation, -7);
    assert_int_equal(p.sequence, -2147483647);
    assert_int_equal(p.body_len, 5);
    assert_memory_equal(p.body, "hello", 5);
}


static void
packet_layout(void **state)
{
    uint8_t  data[GOIM_HEADER];

    (void) state;

    goim_packet_header(data, 0x010203, 0x0405, 0x06070809, 0x0a0b0c0d);

    assert_memory_equal(data, "\x00\x01\x02\x13" "\x00\x10" "\x04\x05"
                        "\x06\x07\x08\x09" "\x0a\x0b\x0c\x0d", 16);
}


static void
packet_limits(void **state)
{
    size_t         i;
    uint8_t        data[GOIM_HEADER + 4097];
    goim_packet_t  p;

    (void) state;

    memset(data, 0, sizeof(data));
    goim_packet_header(data, 4096, 1, 4, 1);
    assert_int_equal(goim_packet_parse(&p, data, sizeof(data), 4096),
                     GOIM_PACKET_OK);

    goim_packet_header(data, 4097, 1, 4, 1);
    assert_int_equal(goim_packet_parse(&p, data, sizeof(data), 4096),
                     GOIM_PACKET_BAD_LENGTH);
    assert_int_equal(goim_packet_parse(&p, data, 4, 4096),
                     GOIM_PACKET_BAD_LENGTH);

    /* no prefix of a packet is a packet */

    goim_packet_header(data, 3, 1, 4, 1);

    for (i = 0; i < GOIM_HEADER + 3; i++) {
        assert_int_equal(goim_packet_parse(&p, data, i, 4096),
                         GOIM_PACKET_AGAIN);
    }

    memcpy(data, "\x00\x00\x00\x0f", 4);
    assert_int_equal(goim_packet_parse(&p, data, 16, 4096),
                     GOIM_PACKET_BAD_LENGTH);

    memcpy(data, "\xff\xff\xff\xff", 4);
    assert_int_equal(goim_packet_parse(&p, data, 16, 4096),
                     GOIM_PACKET_BAD_LENGTH);

    memcpy(data, "\x00\x00\x00\x10\x00\x11", 6);
    assert_int_equal(goim_packet_parse(&p, data, 6, 4096),
                     GOIM_PACKET_BAD_HEADER);
}


static int
operations(const char *text, int32_t *ops, int max)
{
    return goim_parse_operations((const uint8_t *) text, strlen(text), ops,
                                 max);
}


static void
operation_lists(void **state)
{
    size_t   i;
    int32_t  ops[4];

    static const char *bad[] = {
        "", ",", "1,", ",1", "1,,2", "a", "1a", "1 ,2", "-", "1,-", "--1",
        "2147483648", "-2147483649", "99999999999999999999999", "0x10"
    };

    (void) state;

    assert_int_equal(operations("1000", ops, 4), 1);
    assert_int_equal(ops[0], 1000);

    assert_int_equal(operations("1,-2,+3,2147483647", ops, 4), 4);
    assert_int_equal(ops[1], -2);
    assert_int_equal(ops[2], 3);
    assert_int_equal(ops[3], INT32_MAX);

    assert_int_equal(operations("-2147483648", ops, 4), 1);
    assert_int_equal(ops[0], INT32_MIN);

    assert_int_equal(operations("1,2,3,4,5", ops, 4), 5);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (operations(bad[i], ops, 4) != -1) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
}


static void
rpc_frames(void **state)
{
    size_t          n, used;
    uint8_t         data[GOIM_RPC_HEADER + 3];
    const uint8_t  *frame;

    (void) state;

    goim_rpc_header(data, 3);
    memcpy(data + GOIM_RPC_HEADER, "abc", 3);

    assert_int_equal(goim_rpc_parse(data, 3, &frame, &n, &used),
                     GOIM_RPC_AGAIN);
    assert_int_equal(goim_rpc_parse(data, 6, &frame, &n, &used),
                     GOIM_RPC_AGAIN);
    assert_int_equal(goim_rpc_parse(data, 7, &frame, &n, &used),
                     GOIM_RPC_OK);
    assert_ptr_equal(frame, data + GOIM_RPC_HEADER);
    assert_int_equal(n, 3);
    assert_int_equal(used, 7);

    goim_rpc_header(data, 0);
    assert_int_equal(goim_rpc_parse(data, 4, &frame, &n, &used),
                     GOIM_RPC_OK);
    assert_int_equal(n, 0);

    goim_rpc_header(data, GOIM_RPC_MAX);
    assert_int_equal(goim_rpc_parse(data, 4, &frame, &n, &used),
                     GOIM_RPC_AGAIN);

    goim_rpc_header(data, GOIM_RPC_MAX + 1);
    assert_int_equal(goim_rpc_parse(data, 4, &frame, &n, &used),
                     GOIM_RPC_TOO_LONG);
}


static void
positions(void **state)
{
    uint64_t       high, low;
    goim_offset_t  a, b;

    (void) state;

    goim_offset_set(&a, 1, UINT64_MAX);
    goim_offset_set(&b, 2, 0);
    assert_true(goim_offset_cmp(&a, &b) < 0);

    goim_offset_get(&a, &high, &low);
    assert_true(high == 1 && low == UINT64_MAX);

    goim_offset_set(&a, 0, 255);
    goim_offset_set(&b, 0, 256);
    assert_true(goim_offset_cmp(&a, &b) < 0);
    assert_int_equal(goim_offset_cmp(&a, &a), 0);
}


static void
partitions(void **state)
{
    (void) state;

    /* FNV-1a as Sarama's: the absolute value of an int32 */

    assert_int_equal(goim_partition("kafka", 5, UINT32_MAX), 0x0d33c4e1);
    assert_int_equal(goim_partition("giberish123456789", 17, UINT32_MAX),
                     0x77a58295);
    assert_int_equal(goim_partition("", 0, UINT32_MAX), 0x7ee3623b);
    assert_int_equal(goim_partition("1234", 4, UINT32_MAX), 0x023bdd03);
    assert_int_equal(goim_partition("live://1000", 11, 1), 0);
    assert_int_equal(goim_partition("live://1000", 11, 8), 4);
}


static void
checksums(void **state)
{
    size_t   i, j;
    uint8_t  data[64];

    (void) state;

    assert_int_equal(goim_crc32c("", 0), 0);
    assert_int_equal(goim_crc32c("123456789", 9), 0xe3069283);

    /* RFC 3720, B.4 */

    memset(data, 0, 32);
    assert_int_equal(goim_crc32c(data, 32), 0x8a9136aa);
    memset(data, 0xff, 32);
    assert_int_equal(goim_crc32c(data, 32), 0x62a8ab43);

    for (i = 0; i < 32; i++) {
        data[i] = (uint8_t) i;
    }
    assert_int_equal(goim_crc32c(data, 32), 0x46dd794e);

    /* wherever the bytes lie */

    for (i = 1; i < 16; i++) {
        for (j = 0; j < 32; j++) {
            data[i + j] = (uint8_t) j;
        }
        assert_int_equal(goim_crc32c(data + i, 32), 0x46dd794e);
    }
}


static void
hashes(void **state)
{
    uint8_t   data[15];
    size_t    i;

    /* from SipHash's paper: key and input are the bytes 0, 1, 2, ... */

    uint64_t  seed[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
    uint64_t  other[2] = { 0x0706050403020101u, 0x0f0e0d0c0b0a0908u };

    (void) state;

    for (i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t) i;
    }

    assert_true(goim_hash(seed, data, 15) == 0xa129ca6149be45e5u);
    assert_true(goim_hash(seed, data, 15) != goim_hash(other, data, 15));
    assert_true(goim_hash(seed, data, 15) != goim_hash(seed, data, 14));
}


static void
frame_heads(void **state)
{
    uint8_t  p[GOIM_FRAME_HEAD];

    (void) state;

    assert_int_equal(goim_frame_head(p, GOIM_FRAME_BINARY, 125), 2);
    assert_memory_equal(p, "\x82\x7d", 2);
    assert_int_equal(goim_frame_head(p, GOIM_FRAME_TEXT, 126), 4);
    assert_memory_equal(p, "\x81\x7e\x00\x7e", 4);
    assert_int_equal(goim_frame_head(p, GOIM_FRAME_BINARY, 65535), 4);
    assert_memory_equal(p, "\x82\x7e\xff\xff", 4);
    assert_int_equal(goim_frame_head(p, GOIM_FRAME_BINARY, 65536), 10);
    assert_memory_equal(p, "\x82\x7f\0\0\0\0\0\x01\0\0", 10);
    assert_int_equal(goim_frame_head(p, GOIM_FRAME_CLOSE, 0), 2);
    assert_memory_equal(p, "\x88\x00", 2);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet_roundtrip),
        cmocka_unit_test(packet_layout),
        cmocka_unit_test(packet_limits),
        cmocka_unit_test(operation_lists),
        cmocka_unit_test(rpc_frames),
        cmocka_unit_test(positions),
        cmocka_unit_test(partitions),
        cmocka_unit_test(checksums),
        cmocka_unit_test(hashes),
        cmocka_unit_test(frame_heads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
