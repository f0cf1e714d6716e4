/*
 * SipHash-2-4.
 */

#include "goim_hash.h"


#define goim_rotl(x, b)  ((x) << (b) | (x) >> (64 - (b)))


static void
goim_hash_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = goim_rotl(v[1], 13) ^ v[0];
    v[0] = goim_rotl(v[0], 32);
    v[2] += v[3];
    v[3] = goim_rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = goim_rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = goim_rotl(v[1], 17) ^ v[2];
    v[2] = goim_rotl(v[2], 32);
}


uint64_t
goim_hash(const uint64_t seed[2], const void *data, size_t len)
{
    size_t          i, left;
    uint64_t        m, v[4];
    const uint8_t  *p;

    v[0] = seed[0] ^ 0x736f6d6570736575ULL;
    v[1] = seed[1] ^ 0x646f72616e646f6dULL;
    v[2] = seed[0] ^ 0x6c7967656e657261ULL;
    v[3] = seed[1] ^ 0x7465646279746573ULL;

    p = data;
    left = len;

    for ( ;; ) {
        m = 0;

        for (i = 0; i < 8 && i < left; i++) {
            m |= (uint64_t) p[i] << 8 * i;
        }

        if (left < 8) {
            break;
        }

        v[3] ^= m;
        goim_hash_round(v);
        goim_hash_round(v);
        v[0] ^= m;

        p += 8;
        left -= 8;
    }

    m |= (uint64_t) len << 56;

    v[3] ^= m;
    goim_hash_round(v);
    goim_hash_round(v);
    v[0] ^= m;

    v[2] ^= 0xff;

    for (i = 0; i < 4; i++) {
        goim_hash_round(v);
    }

    return v[0] ^ v[1] ^ v[2] ^ v[3];
}


uint32_t
goim_fnv1a(const void *data, size_t len)
{
    size_t          i;
    uint32_t        h;
    const uint8_t  *p = data;

    h = 2166136261u;

    for (i = 0; i < len; i++) {
        h = (h ^ p[i]) * 16777619u;
    }

    return h;
}


uint64_t
goim_fnv1a_64(uint64_t h, const void *data, size_t len)
{
    size_t          i;
    const uint8_t  *p = data;

    for (i = 0; i < len; i++) {
        h = (h ^ p[i]) * 1099511628211ull;
    }

    return h;
}
