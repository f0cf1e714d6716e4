/*
 * Two hashes. SipHash-2-4 (Aumasson, Bernstein) for tables whose keys come
 * from the network: with a secret seed nobody can choose keys that collide.
 * FNV-1a where the value is agreed on, or the keys are our own.
 */

#ifndef GOIM_HASH_H
#define GOIM_HASH_H

#include <stddef.h>
#include <stdint.h>

#define GOIM_FNV64  14695981039346656037ull     /* the usual beginning */

uint64_t goim_hash(const uint64_t seed[2], const void *data, size_t len);

uint32_t goim_fnv1a(const void *data, size_t len);
uint64_t goim_fnv1a_64(uint64_t h, const void *data, size_t len);

#endif
