/*
 * RPC framing between comet and logic: a big-endian length of four bytes (not
 * counting itself), then a goim.Call or goim.Reply of that many bytes.
 */

#ifndef GOIM_RPC_H
#define GOIM_RPC_H

#include <stddef.h>
#include <stdint.h>

#include "goim_limits.h"

#define GOIM_RPC_HEADER   4

#define GOIM_RPC_OK       0
#define GOIM_RPC_AGAIN    1
#define GOIM_RPC_TOO_LONG 2

/*
 * Find one frame at the start of `data`: *frame and *frame_len tell the
 * protobuf message inside, *used the bytes to move on by. max: of a message,
 * GOIM_RPC_MAX of a node's, GOIM_REPLY_MAX of logic's.
 */
int goim_rpc_parse(const uint8_t *data, size_t len, size_t max,
    const uint8_t **frame, size_t *frame_len, size_t *used);

void goim_rpc_header(uint8_t *out, size_t frame_len);

#endif
