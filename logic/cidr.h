/*
 * Addresses, networks, and the client's address behind trusted proxies.
 */

#ifndef LOGIC_CIDR_H
#define LOGIC_CIDR_H

#include <stddef.h>
#include <stdint.h>

/* IPv6; IPv4 as ::ffff:a.b.c.d */
typedef struct {
    uint8_t  b[16];
} logic_ip_t;

typedef struct {
    logic_ip_t   ip;            /* masked */
    uint8_t      bits;          /* of 128 */
    const char  *name;          /* what the network belongs to */
} logic_cidr_t;

typedef struct {
    logic_cidr_t  *nets;
    size_t         nnets;
    size_t         size;
    size_t         first[130];  /* of each length, longest first; last: end */
} logic_cidrs_t;

/* An address, with or without [ ] and a port. */
int logic_ip_parse(const char *text, size_t len, logic_ip_t *ip);

/*
 * Add a list of addresses and networks, separated by commas or spaces; name
 * is kept. -1 with a message.
 */
int logic_cidrs_add(logic_cidrs_t *t, const char *list, const char *name,
    char *err, size_t size);

/* After the last add: -1 when a network is there under two names. */
int logic_cidrs_sort(logic_cidrs_t *t, char *err, size_t size);

/* The longest network that holds ip; NULL: none. */
const logic_cidr_t *logic_cidrs_find(const logic_cidrs_t *t,
    const logic_ip_t *ip);

/*
 * The client's address: the peer's, or while that is a trusted proxy's, the
 * one it names as last in `forwarded` (all X-Forwarded-For headers, joined
 * with commas; NULL: none), and so on to the left. -1: the peer is no
 * address.
 */
int logic_client_ip(const logic_cidrs_t *trusted, const char *peer,
    const char *forwarded, logic_ip_t *ip);

#endif
