/*
 * The header of a WebSocket frame.
 */

#include "goim_frame.h"

#define GOIM_FRAME_FIN  0x80


size_t
goim_frame_head(uint8_t *p, unsigned opcode, size_t len)
{
    int  i;

    p[0] = (uint8_t) (GOIM_FRAME_FIN | opcode);

    if (len < 126) {
        p[1] = (uint8_t) len;
        return 2;
    }

    if (len < 65536) {
        p[1] = 126;
        p[2] = (uint8_t) (len >> 8);
        p[3] = (uint8_t) len;
        return 4;
    }

    p[1] = 127;

    for (i = 0; i < 8; i++) {
        p[2 + i] = (uint8_t) ((uint64_t) len >> (56 - 8 * i));
    }

    return 10;
}
