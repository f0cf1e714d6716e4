/*
 * base64url without padding.
 */

#include "base64url.h"


static int logic_base64url_value(char c);


ssize_t
logic_base64url(const char *text, size_t len, uint8_t *buf)
{
    int       v;
    size_t    i, n;
    unsigned  bits;
    uint32_t  acc;

    if (len % 4 == 1) {
        return -1;
    }

    acc = 0;
    bits = 0;
    n = 0;

    for (i = 0; i < len; i++) {
        v = logic_base64url_value(text[i]);

        if (v < 0) {
            return -1;
        }

        acc = acc << 6 | (uint32_t) v;
        bits += 6;

        if (bits >= 8) {
            bits -= 8;
            buf[n++] = (uint8_t) (acc >> bits);
            acc &= (1u << bits) - 1;
        }
    }

    /* one text for each value: else a signature has several */

    return acc == 0 ? (ssize_t) n : -1;
}


static int
logic_base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }

    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }

    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return c == '-' ? 62 : c == '_' ? 63 : -1;
}


void
logic_base64url_encode(char *text, const void *data, size_t len)
{
    size_t          i;
    unsigned        bits;
    uint32_t        acc;
    const uint8_t  *p = data;

    static const char  alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    acc = 0;
    bits = 0;

    for (i = 0; i < len; i++) {
        acc = acc << 8 | p[i];

        for (bits += 8; bits >= 6; bits -= 6) {
            *text++ = alphabet[acc >> (bits - 6) & 63];
        }
    }

    if (bits > 0) {
        *text++ = alphabet[acc << (6 - bits) & 63];
    }

    *text = '\0';
}
