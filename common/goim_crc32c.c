/*
 * CRC-32C.
 */

#include "goim_crc32c.h"

#include <string.h>

#define GOIM_CRC32C_POLY  0x82f63b78u   /* reflected */


#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t
goim_crc32c_hardware(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t  c, v;

    c = crc;

    for ( /* void */ ; len >= 8; len -= 8, p += 8) {
        memcpy(&v, p, 8);
        c = __builtin_ia32_crc32di(c, v);
    }

    for ( /* void */ ; len; len--, p++) {
        c = __builtin_ia32_crc32qi((uint32_t) c, *p);
    }

    return (uint32_t) c;
}


static int
goim_crc32c_has_hardware(void)
{
    return __builtin_cpu_supports("sse4.2");
}

#else

static uint32_t
goim_crc32c_hardware(uint32_t crc, const uint8_t *p, size_t len)
{
    (void) p;
    (void) len;

    return crc;
}


static int
goim_crc32c_has_hardware(void)
{
    return 0;
}

#endif


static uint32_t
goim_crc32c_table(uint32_t crc, const uint8_t *p, size_t len)
{
    int              k;
    uint32_t         i, c;
    static uint32_t  table[256];

    if (table[255] == 0) {

        for (i = 0; i < 256; i++) {
            c = i;

            for (k = 0; k < 8; k++) {
                c = c & 1 ? c >> 1 ^ GOIM_CRC32C_POLY : c >> 1;
            }

            table[i] = c;
        }
    }

    while (len--) {
        crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
    }

    return crc;
}


uint32_t
goim_crc32c(const void *data, size_t len)
{
    uint32_t  crc;

    crc = 0xffffffffu;

    crc = goim_crc32c_has_hardware() ? goim_crc32c_hardware(crc, data, len)
                                     : goim_crc32c_table(crc, data, len);

    return crc ^ 0xffffffffu;
}
