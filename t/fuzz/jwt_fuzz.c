/* LINK: logic/jwt.c logic/jwk.c logic/base64url.c */

/*
 * Tokens as they come; as claims that are signed, so that what stands behind
 * the signature is reached; and JWK Sets. A token that is not signed by the
 * one key is never good.
 */

#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "logic/jwt.h"

#define SECRET  "a secret that is long enough to be one"
#define HEADER  "eyJhbGciOiJIUzI1NiJ9."
#define ALL     15u


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const logic_jwt_rules_t  rules = { ALL, "us", "chat", 1000 };


static logic_jwks_t *
keys(void)
{
    static logic_jwks_t  *set;

    char  err[128];

    if (set == NULL) {
        set = logic_jwks_new();

        if (set == NULL
            || logic_jwks_secret(set, ALL, SECRET, sizeof(SECRET) - 1, err,
                                 sizeof(err))
               != 0)
        {
            abort();
        }
    }

    return set;
}


static void
verify(const char *token, size_t size, int by_us)
{
    json_t      *claims;
    const char  *reason;

    reason = NULL;

    if (logic_jwt_verify(&rules, keys(), token, size, 1000000, &claims,
                         &reason)
        == LOGIC_JWT_GOOD)
    {
        if (!by_us || !json_is_object(claims)) {
            abort();
        }

        json_decref(claims);

    } else if (claims != NULL || reason == NULL) {
        abort();
    }
}


static size_t
encode(char *out, const uint8_t *p, size_t len)
{
    size_t    i, n;
    uint32_t  acc;
    unsigned  bits;

    static const char  alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    acc = 0;
    bits = 0;
    n = 0;

    for (i = 0; i < len; i++) {
        acc = acc << 8 | p[i];
        bits += 8;

        while (bits >= 6) {
            bits -= 6;
            out[n++] = alphabet[acc >> bits & 63];
        }

        acc &= 63;
    }

    if (bits > 0) {
        out[n++] = alphabet[acc << (6 - bits) & 63];
    }

    return n;
}


static void
claims(const uint8_t *data, size_t size)
{
    char      *token;
    size_t     n;
    uint8_t    mac[EVP_MAX_MD_SIZE];
    unsigned   mac_len;

    token = malloc(sizeof(HEADER) + size * 4 / 3 + 64);
    if (token == NULL) {
        return;
    }

    memcpy(token, HEADER, sizeof(HEADER) - 1);
    n = sizeof(HEADER) - 1;
    n += encode(token + n, data, size);
    HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, (uint8_t *) token, n, mac,
         &mac_len);
    token[n++] = '.';
    n += encode(token + n, mac, mac_len);

    verify(token, n, 1);
    free(token);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char          *copy, err[256];
    logic_jwks_t  *set;

    copy = malloc(size);
    set = logic_jwks_new();

    if (copy == NULL || set == NULL) {
        abort();
    }

    memcpy(copy, data, size);

    verify(copy, size, 0);
    claims(data, size);

    if (logic_jwks_json(set, ALL, size % 2, copy, size, err, sizeof(err))
        != 0 && strlen(err) == 0)
    {
        abort();
    }

    logic_jwks_unref(set);

    set = logic_jwks_new();
    (void) logic_jwks_pem(set, ALL, copy, size, err, sizeof(err));
    logic_jwks_unref(set);

    free(copy);

    return 0;
}
