/*
 * goim's packet: a header of sixteen bytes, big-endian, and a body.
 *
 *     int32 packet length (header and body), int16 header length (16),
 *     int16 version, int32 operation, int32 sequence
 *
 * No nginx, no libevent here: the module, the services, the unit tests and
 * the fuzz targets share this file.
 */

#ifndef GOIM_PACKET_H
#define GOIM_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define GOIM_HEADER             16
#define GOIM_VERSION            1
#define GOIM_MAX_BODY           4096    /* of a client's packet, by default */

#define GOIM_OP_HANDSHAKE       0
#define GOIM_OP_HANDSHAKE_REPLY 1
#define GOIM_OP_HEARTBEAT       2
#define GOIM_OP_HEARTBEAT_REPLY 3
#define GOIM_OP_SEND            4
#define GOIM_OP_SEND_REPLY      5
#define GOIM_OP_DISCONNECT      6
#define GOIM_OP_AUTH            7
#define GOIM_OP_AUTH_REPLY      8
#define GOIM_OP_RAW             9
#define GOIM_OP_PROTO_READY     10
#define GOIM_OP_PROTO_FINISH    11
#define GOIM_OP_CHANGE_ROOM     12
#define GOIM_OP_CHANGE_ROOM_REPLY 13
#define GOIM_OP_SUB             14
#define GOIM_OP_SUB_REPLY       15
#define GOIM_OP_UNSUB           16
#define GOIM_OP_UNSUB_REPLY     17
#define GOIM_OP_COMMAND         18
#define GOIM_OP_COMMAND_REPLY   19
#define GOIM_OP_ITEM            20
#define GOIM_OP_SIGNAL          22
#define GOIM_OP_POSITION        23


typedef struct {
    uint32_t         length;        /* header and body */
    uint16_t         version;
    int32_t          operation;
    int32_t          sequence;
    const uint8_t   *body;          /* inside the parsed data */
    size_t           body_len;
} goim_packet_t;


#define GOIM_PACKET_OK          0
#define GOIM_PACKET_AGAIN       1   /* fewer bytes than the packet has */
#define GOIM_PACKET_BAD_LENGTH  2   /* below 16, or body over max_body */
#define GOIM_PACKET_BAD_HEADER  3   /* header length is not 16 */


/*
 * Parse the packet at the start of `data`. A wrong header is told as soon as
 * its bytes are there. `p->body` points into `data`.
 */
int goim_packet_parse(goim_packet_t *p, const uint8_t *data, size_t len,
    size_t max_body);

/* Write a header of GOIM_HEADER bytes; returns the place behind it. */
uint8_t *goim_packet_header(uint8_t *out, size_t body_len, uint16_t version,
    int32_t operation, int32_t sequence);

/*
 * Decimal int32 numbers with commas between them (operations 14 and 16).
 * Returns how many; -1: something else is in the list; max + 1: too many.
 */
int goim_parse_operations(const uint8_t *data, size_t len, int32_t *ops,
    int max);

/* Why a parse failed, for log lines. */
const char *goim_packet_error(int rc);

#endif
