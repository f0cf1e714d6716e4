/*
 * Keys that signatures of tokens are verified with. Each has one algorithm,
 * by what it is, and is used for no other: what a token says of itself only
 * chooses among them.
 *
 * A set does not change once it is there, and may be used by all threads; it
 * goes with its last reference. No network here.
 */

#ifndef LOGIC_JWK_H
#define LOGIC_JWK_H

#include <openssl/evp.h>

#include <stddef.h>
#include <stdint.h>

typedef enum {
    LOGIC_HS256, LOGIC_RS256, LOGIC_ES256, LOGIC_EDDSA
} logic_alg_t;

/* their names in tokens, and NULL */
extern const char *const  logic_alg_names[];

#define LOGIC_JWK_KEYS      64          /* of a set */
#define LOGIC_JWK_KID       256         /* bytes */
#define LOGIC_JWK_SECRET    32          /* bytes, at least */
#define LOGIC_JWK_RSA_MIN   2048        /* bits */
#define LOGIC_JWK_RSA_MAX   8192

typedef struct {
    logic_alg_t   alg;
    char         *kid;                  /* NULL: it has none */
    EVP_PKEY     *pkey;                 /* NULL: HS256 */
    uint8_t      *secret;
    size_t        secret_len;
} logic_jwk_t;

typedef struct {
    size_t        n;
    size_t        refs;                 /* atomic */
    logic_jwk_t  *key[LOGIC_JWK_KEYS];
} logic_jwks_t;

/* An empty set, with one reference; NULL: no memory. */
logic_jwks_t *logic_jwks_new(void);
logic_jwks_t *logic_jwks_ref(logic_jwks_t *set);
void logic_jwks_unref(logic_jwks_t *set);       /* NULL: nothing */

/*
 * These fill a set that nobody else has yet. algs: bits, 1 << logic_alg_t, of
 * those that the configuration has. 0, or -1 with a message in err; the set is
 * good for nothing then.
 */

/* HS256, the bytes as they are */
int logic_jwks_secret(logic_jwks_t *set, unsigned algs, const void *secret,
    size_t len, char *err, size_t size);

/* public keys one behind the other; private ones are refused */
int logic_jwks_pem(logic_jwks_t *set, unsigned algs, const char *text,
    size_t len, char *err, size_t size);

/*
 * What signs: a private key as PEM without a password, else the secret of HS256.
 * NULL, and why in err.
 */
logic_jwk_t *logic_jwk_private(const char *text, size_t len, char *err,
    size_t size);
void logic_jwk_free(logic_jwk_t *key);

/*
 * A JWK Set (RFC 7517). Keys for something else (another kty, curve, use or
 * alg) are passed over, as it says; those that are wrong or too weak are not:
 * the whole set is refused. secrets: it may have keys for HS256; where it may
 * not it is refused, as it shows a secret to everybody.
 */
int logic_jwks_json(logic_jwks_t *set, unsigned algs, int secrets,
    const char *text, size_t len, char *err, size_t size);

#endif
