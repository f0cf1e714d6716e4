/*
 * goim's packet header.
 */

#include "goim_packet.h"


static uint32_t
goim_get32(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}


static uint16_t
goim_get16(const uint8_t *p)
{
    return (uint16_t) (p[0] << 8 | p[1]);
}


static uint8_t *
goim_put32(uint8_t *p, uint32_t v)
{
    *p++ = (uint8_t) (v >> 24);
    *p++ = (uint8_t) (v >> 16);
    *p++ = (uint8_t) (v >> 8);
    *p++ = (uint8_t) v;

    return p;
}


static uint8_t *
goim_put16(uint8_t *p, uint16_t v)
{
    *p++ = (uint8_t) (v >> 8);
    *p++ = (uint8_t) v;

    return p;
}


int
goim_packet_parse(goim_packet_t *p, const uint8_t *data, size_t len,
    size_t max_body)
{
    if (len < 4) {
        return GOIM_PACKET_AGAIN;
    }

    p->length = goim_get32(data);

    /* a negative int32 is a large uint32 */

    if (p->length < GOIM_HEADER || p->length - GOIM_HEADER > max_body) {
        return GOIM_PACKET_BAD_LENGTH;
    }

    if (len < 6) {
        return GOIM_PACKET_AGAIN;
    }

    if (goim_get16(data + 4) != GOIM_HEADER) {
        return GOIM_PACKET_BAD_HEADER;
    }

    if (len < p->length) {
        return GOIM_PACKET_AGAIN;
    }

    p->version = goim_get16(data + 6);
    p->operation = (int32_t) goim_get32(data + 8);
    p->sequence = (int32_t) goim_get32(data + 12);
    p->body = data + GOIM_HEADER;
    p->body_len = p->length - GOIM_HEADER;

    return GOIM_PACKET_OK;
}


uint8_t *
goim_packet_header(uint8_t *out, size_t body_len, uint16_t version,
    int32_t operation, int32_t sequence)
{
    out = goim_put32(out, (uint32_t) (GOIM_HEADER + body_len));
    out = goim_put16(out, GOIM_HEADER);
    out = goim_put16(out, version);
    out = goim_put32(out, (uint32_t) operation);
    out = goim_put32(out, (uint32_t) sequence);

    return out;
}


int
goim_parse_operations(const uint8_t *data, size_t len, int32_t *ops, int max)
{
    int             n, negative, digits;
    int64_t         v;
    const uint8_t  *p, *last;

    last = data + len;

    for (n = 0, p = data; /* void */ ; p++) {

        negative = p < last && *p == '-';

        if (p < last && (*p == '-' || *p == '+')) {
            p++;
        }

        for (v = 0, digits = 0; p < last && *p >= '0' && *p <= '9'; p++) {
            v = v * 10 + (*p - '0');
            digits++;

            if (v > (int64_t) INT32_MAX + 1) {
                return -1;
            }
        }

        if (negative) {
            v = -v;
        }

        if (digits == 0 || v > INT32_MAX || (p < last && *p != ',')) {
            return -1;
        }

        if (n == max) {
            return max + 1;
        }

        ops[n++] = (int32_t) v;

        if (p >= last) {
            return n;
        }
    }
}


const char *
goim_packet_error(int rc)
{
    switch (rc) {

    case GOIM_PACKET_BAD_LENGTH:
        return "packet length out of range";

    case GOIM_PACKET_BAD_HEADER:
        return "header length is not 16";

    case GOIM_PACKET_AGAIN:
        return "packet is longer than its message";

    default:
        return "no error";
    }
}
