/*
 * CRC-32C (Castagnoli), as in RFC 3720, appendix B.4: by the processor's own
 * instruction where it has one.
 */

#ifndef GOIM_CRC32C_H
#define GOIM_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t goim_crc32c(const void *data, size_t len);

#endif
