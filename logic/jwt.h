/*
 * JSON Web Tokens (RFC 7519) in their compact form, signed (RFC 7515): whether
 * one is good, by keys and rules that are the configuration's. Nothing in a
 * token names a key by itself: "jku", "x5u", "jwk" and their like are not
 * looked at, "crit" is refused as nothing that it may name is known here. No
 * network, no configuration file.
 */

#ifndef LOGIC_JWT_H
#define LOGIC_JWT_H

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>

#include "jwk.h"

#define LOGIC_JWT_MAX  (16 * 1024)      /* bytes of a token */

typedef struct {
    unsigned      algs;         /* bits: 1 << logic_alg_t; others are refused */
    const char   *issuer;       /* "": whoever */
    const char   *audience;     /* "": only tokens without "aud" are taken */
    int64_t       leeway;       /* ms that clocks may differ */
} logic_jwt_rules_t;

typedef enum {
    LOGIC_JWT_GOOD,
    LOGIC_JWT_DENIED,
    LOGIC_JWT_UNKNOWN           /* there is no key for it, so far */
} logic_jwt_code_t;

/*
 * now: Unix time, ms. Good: *claims is a new reference to an object. Else
 * *reason is a constant without anything of the token.
 */
logic_jwt_code_t logic_jwt_verify(const logic_jwt_rules_t *rules,
    const logic_jwks_t *keys, const char *token, size_t len, int64_t now,
    json_t **claims, const char **reason);

/* A token of these claims (jwt_sign.c), malloc()ed; NULL: it was not signed. */
char *logic_jwt_sign(const logic_jwk_t *key, json_t *claims);

/* When good claims are good no longer, Unix time in ms; 0: always. */
int64_t logic_jwt_end(const logic_jwt_rules_t *rules, json_t *claims);

#endif
