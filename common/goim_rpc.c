/*
 * RPC framing between comet and logic.
 */

#include "goim_rpc.h"


int
goim_rpc_parse(const uint8_t *data, size_t len, size_t max,
    const uint8_t **frame, size_t *frame_len, size_t *used)
{
    size_t  n;

    if (len < GOIM_RPC_HEADER) {
        return GOIM_RPC_AGAIN;
    }

    n = (size_t) data[0] << 24 | (size_t) data[1] << 16
        | (size_t) data[2] << 8 | data[3];

    if (n > max) {
        return GOIM_RPC_TOO_LONG;
    }

    if (len - GOIM_RPC_HEADER < n) {
        return GOIM_RPC_AGAIN;
    }

    *frame = data + GOIM_RPC_HEADER;
    *frame_len = n;
    *used = GOIM_RPC_HEADER + n;

    return GOIM_RPC_OK;
}


void
goim_rpc_header(uint8_t *out, size_t frame_len)
{
    out[0] = (uint8_t) (frame_len >> 24);
    out[1] = (uint8_t) (frame_len >> 16);
    out[2] = (uint8_t) (frame_len >> 8);
    out[3] = (uint8_t) frame_len;
}
