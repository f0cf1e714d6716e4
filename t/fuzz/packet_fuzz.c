/* LINK: common/goim_packet.c common/goim_frame.c */

/*
 * A client's bytes: a packet that parses says again what it was, and stays
 * inside what there is; a list of operations likewise.
 */

#include <stdlib.h>
#include <string.h>

#include "common/goim_frame.h"
#include "common/goim_packet.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int             n;
    int32_t         ops[16];
    uint8_t         head[GOIM_HEADER], frame[GOIM_FRAME_HEAD];
    goim_packet_t   p;

    if (goim_packet_parse(&p, data, size, GOIM_MAX_BODY) == GOIM_PACKET_OK) {

        if (p.length > size || p.body_len != p.length - GOIM_HEADER
            || p.body != data + GOIM_HEADER)
        {
            abort();
        }

        goim_packet_header(head, p.body_len, p.version, p.operation,
                           p.sequence);

        if (memcmp(head, data, GOIM_HEADER) != 0) {
            abort();
        }

        n = goim_parse_operations(p.body, p.body_len, ops, 16);

        if (n == 0 || n > 17) {
            abort();
        }
    }

    n = goim_parse_operations(data, size, ops, 16);

    if (n == 0 || n > 17) {
        abort();
    }

    goim_frame_head(frame, GOIM_FRAME_BINARY, size);

    return 0;
}
