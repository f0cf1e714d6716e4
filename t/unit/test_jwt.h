/*
 * Tokens made by hand, and keys: those of the RFCs and new ones. To be linked
 * with test_jwt.c.
 */

#ifndef TEST_JWT_H
#define TEST_JWT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logic/jwt.h"

#define ALL  (1u << LOGIC_HS256 | 1u << LOGIC_RS256 | 1u << LOGIC_ES256      \
              | 1u << LOGIC_EDDSA)

#define HEAD(alg)  "{\"alg\":\"" alg "\"}"

/* the keys of RFC 7515, A.1 to A.3, and RFC 8037, A.2 */

#define K1  "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-Es" \
            "tJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"
#define K2  "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNi" \
            "uSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEz" \
            "P1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soM" \
            "Zo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo" \
            "7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7" \
            "aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h" \
            "4FRWyuXpoQ\"}"
#define K3X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define K3Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define K3  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" K3X "\",\"y\":\""   \
            K3Y "\"}"
#define K4  "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"                    \
            "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

/* and one more, of a name */

#define OCT(kid)  "{\"kty\":\"oct\",\"kid\":\"" kid "\",\"k\":\"YSBzZWNyZXQ" \
                  "gdGhhdCBpcyBsb25nIGVub3VnaCB0byBiZSBvbmU\"}"

#define SECRET  "a secret that is long enough to be one"

/* what verify() goes by, and what it and the other functions said */

extern logic_jwt_rules_t   rules;
extern int64_t             now;             /* s */
extern char                err[256];
extern const char         *reason;
extern json_t             *claims;

/* unsigned_token()'s, with what was added to it: by the others below, too */

extern char                signing[65536];

logic_jwks_t *jwks(int secrets, const char *text);
logic_jwks_t *jwks_of(const char *key);
int verify(const logic_jwks_t *keys, const char *token);
void denied(const logic_jwks_t *keys, const char *token, const char *why);
char *unsigned_token(const char *header, const char *payload);
char *with_signature(const void *sig, size_t len);
char *hs256(const char *header, const char *payload);
char *by_key(EVP_PKEY *pkey, const EVP_MD *md, const char *header,
    const char *payload);
logic_jwks_t *secret_set(void);
char *pem(EVP_PKEY *pkey, int private);
int pem_set(logic_jwks_t **set, const char *text);

#endif
