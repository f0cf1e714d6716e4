/*
 * The header of a WebSocket frame from server to client (RFC 6455, 5.2).
 */

#ifndef GOIM_FRAME_H
#define GOIM_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define GOIM_FRAME_HEAD  10         /* the longest */

#define GOIM_FRAME_CONT    0
#define GOIM_FRAME_TEXT    1
#define GOIM_FRAME_BINARY  2
#define GOIM_FRAME_CLOSE   8
#define GOIM_FRAME_PING    9
#define GOIM_FRAME_PONG    10

/* Write the header of a whole, unmasked frame of len bytes; its length. */
size_t goim_frame_head(uint8_t *p, unsigned opcode, size_t len);

#endif
