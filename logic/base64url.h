/*
 * base64url without padding, as JOSE has it (RFC 7515, 2), and nothing else:
 * no other character, no padding, no bits that are left over.
 */

#ifndef LOGIC_BASE64URL_H
#define LOGIC_BASE64URL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* how many bytes that many characters are, at most */
#define LOGIC_BASE64URL_BYTES(len)  ((len) / 4 * 3 + 2)

/* The number of bytes in buf, which has LOGIC_BASE64URL_BYTES(len); -1. */
ssize_t logic_base64url(const char *text, size_t len, uint8_t *buf);

/* how many characters that many bytes are, and a zero byte */
#define LOGIC_BASE64URL_TEXT(len)  (((len) * 4 + 2) / 3 + 1)

void logic_base64url_encode(char *text, const void *data, size_t len);

#endif
