/*
 * SipHash-2-4 (Aumasson, Bernstein): a hash for tables whose keys come from
 * the network. With a secret seed nobody can choose keys that collide.
 */

#ifndef GOIM_HASH_H
#define GOIM_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t goim_hash(const uint64_t seed[2], const void *data, size_t len);

#endif
