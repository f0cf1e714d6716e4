/*
 * Who a client is: the JSON of an auth packet, of the application's answer, or
 * of a signed token's claims, and what is made of it.
 */

#ifndef LOGIC_TOKEN_H
#define LOGIC_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "grants.h"


/* a class of devices, by its platform */
typedef enum {
    LOGIC_CLASS_NONE, LOGIC_CLASS_MOBILE, LOGIC_CLASS_DESKTOP, LOGIC_CLASS_WEB,
    LOGIC_CLASSES
} logic_class_t;

#define LOGIC_PLATFORM_MAX  GOIM_IM_PLATFORM

typedef struct {
    int64_t         mid;
    char            key[GOIM_KEY_MAX + 1];
    size_t          key_len;
    char            room[GOIM_ROOM_MAX + 1];
    size_t          room_len;
    int32_t         accepts[GOIM_ACCEPTS_MAX];
    size_t          naccepts;
    logic_grants_t  may;
    logic_sends_t   sends;
    logic_limits_t  limits;
    int64_t         expires;        /* Unix time, ms; 0: never */
    int64_t         iat;            /* of its token, s; 0: it does not say */
    char            jti[GOIM_JTI_MAX + 1];
    size_t          jti_len;
    char            data[GOIM_DATA_MAX + 1];    /* the application's own, JSON
                                       in ASCII; empty: none */
    char            platform[LOGIC_PLATFORM_MAX + 1];
    unsigned        im:1;           /* it speaks with people */
    unsigned        claimed:1;      /* by a signed token */
    unsigned        guarded:1;      /* the key is the client's choice: not one
                                       that another mid has */
} logic_who_t;

/* What a client asks for beside a signed token. */
typedef struct {
    logic_who_t     who;            /* its mid is 0 */
    char           *token;          /* NULL: none; malloc()ed */
    unsigned        has_room:1;
    unsigned        has_accepts:1;
} logic_packet_t;

/*
 * {"mid":1,"key":"k","room_id":"live://1","accepts":[1000]}: names match
 * regardless of case, the last one of a name counts, others are ignored
 * whatever they hold, what is missing or null is empty. 0, or -1 and *reason.
 * A missing key is left empty.
 */
int logic_token_parse(const void *data, size_t len, logic_who_t *who,
    const char **reason);

/*
 * The application says it, and in "rooms" and "ops" what the client may do
 * besides; mid may be decimal text; without mid and key it must say
 * "guest":true. In a client's own token those are unknown fields.
 */
int logic_token_answer(const void *data, size_t len, logic_who_t *who,
    const char **reason);

/* A packet with a signed token, or beside one: "token", and no mid, which is
 * the token's to say. */
int logic_token_packet(const void *data, size_t len, logic_packet_t *packet,
    const char **reason);

/* The claims of a signed token: the fields of an answer, named exactly so, and
 * "sub", a decimal mid, where there is no "mid". */
int logic_token_claims(json_t *claims, logic_who_t *who,
    const char **reason);

/* What the claims leave to the packet's choice. 0, or -1 and *reason: it asks
 * for more. */
int logic_token_bound(logic_who_t *who, const logic_packet_t *packet,
    const char **reason);

/* Whether the claims, and the packet beside them, are of a mid and key that are
 * in. 0, or -1 and *reason. */
int logic_token_same(const logic_who_t *who, const logic_packet_t *packet,
    int64_t mid, const void *key, size_t len, const char **reason);

/* "android", "web", ...: others are of none */
logic_class_t logic_class(const char *platform);

/* type://id with both parts, or nothing */
int logic_room_valid(const char *room, size_t len);

/* A random UUID (version 4) as key; -1: no random bytes. */
int logic_key_make(logic_who_t *who);

#endif
