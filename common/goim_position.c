/*
 * Positions in the bus.
 */

#include "goim_position.h"
#include "goim_hash.h"


void
goim_offset_set(goim_offset_t *o, uint64_t high, uint64_t low)
{
    int  i;

    for (i = 7; i >= 0; i--) {
        o->b[i] = (uint8_t) high;
        o->b[8 + i] = (uint8_t) low;
        high >>= 8;
        low >>= 8;
    }
}


void
goim_offset_get(const goim_offset_t *o, uint64_t *high, uint64_t *low)
{
    int  i;

    *high = 0;
    *low = 0;

    for (i = 0; i < 8; i++) {
        *high = *high << 8 | o->b[i];
        *low = *low << 8 | o->b[8 + i];
    }
}


uint32_t
goim_partition(const void *key, size_t len, uint32_t partitions)
{
    uint32_t  h;

    h = goim_fnv1a(key, len);

    /* Sarama takes the hash for an int32 and its absolute value */

    if (h & 0x80000000u) {
        h = ~h + 1;
    }

    return h % partitions;
}
