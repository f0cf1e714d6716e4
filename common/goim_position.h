/*
 * A position is (bus epoch, partition, offset). The offset is sixteen opaque
 * bytes that order as memcmp() orders them, whatever the bus: a Kafka offset
 * is a big-endian 64-bit number behind eight zero bytes, a Redis stream id
 * <ms>-<seq> two big-endian 64-bit numbers.
 */

#ifndef GOIM_POSITION_H
#define GOIM_POSITION_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GOIM_OFFSET_LEN  16


typedef struct {
    uint8_t  b[GOIM_OFFSET_LEN];
} goim_offset_t;


static inline int
goim_offset_cmp(const goim_offset_t *a, const goim_offset_t *b)
{
    return memcmp(a->b, b->b, GOIM_OFFSET_LEN);
}


void goim_offset_set(goim_offset_t *o, uint64_t high, uint64_t low);
void goim_offset_get(const goim_offset_t *o, uint64_t *high, uint64_t *low);

/* FNV-1a over a key, as goim's producer and librdkafka's fnv1a_random. */
uint32_t goim_partition(const void *key, size_t len, uint32_t partitions);

#endif
