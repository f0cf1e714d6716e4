/*
 * Who a client is: the JSON of an auth packet, or of the application's
 * answer, and what is made of it.
 */

#ifndef LOGIC_TOKEN_H
#define LOGIC_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"


typedef struct {
    int64_t   mid;
    char      key[GOIM_KEY_MAX + 1];
    size_t    key_len;
    char      room[GOIM_ROOM_MAX + 1];
    size_t    room_len;
    int32_t   accepts[GOIM_ACCEPTS_MAX];
    size_t    naccepts;

    /* what it may enter besides room: names one behind the other */
    char      rooms[GOIM_ROOMS_BYTES];
    size_t    rooms_len[GOIM_ROOMS_MAX];
    size_t    nrooms;
    unsigned  limited:1;            /* to these */
} logic_who_t;

/*
 * {"mid":1,"key":"k","room_id":"live://1","accepts":[1000]}: names match
 * regardless of case, the last one of a name counts, others are ignored
 * whatever they hold, what is missing or null is empty. 0, or -1 and *reason.
 * A missing key is left empty.
 *
 * limited: the application says it, and in "rooms" which others the client
 * may enter; mid may be decimal text; without mid and key it must say
 * "guest":true. In a client's own token those are unknown fields.
 */
int logic_token_parse(const void *data, size_t len, int limited,
    logic_who_t *who, const char **reason);

/* type://id with both parts, or nothing */
int logic_room_valid(const char *room, size_t len);

/* A random UUID (version 4) as key; -1: no random bytes. */
int logic_key_make(logic_who_t *who);

#endif
