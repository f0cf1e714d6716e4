/*
 * JSON Web Tokens that logic signs itself, in compact form.
 */

#include "jwt.h"

#include "base64url.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_SIGN_MAX   1024           /* bytes: RSA of 8192 bits */
#define LOGIC_SIGN_HALF  32             /* of the two numbers of ES256 */


/* r and s (RFC 7518, 3.4), from what OpenSSL makes; 0: it is not that */

static size_t
logic_sign_pair(uint8_t *signature, size_t len)
{
    int             good;
    ECDSA_SIG      *sig;
    const uint8_t  *p;

    p = signature;
    sig = d2i_ECDSA_SIG(NULL, &p, (long) len);

    if (sig == NULL) {
        return 0;
    }

    good = BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, LOGIC_SIGN_HALF)
           == LOGIC_SIGN_HALF
           && BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + LOGIC_SIGN_HALF,
                           LOGIC_SIGN_HALF)
              == LOGIC_SIGN_HALF;
    ECDSA_SIG_free(sig);

    return good ? 2 * LOGIC_SIGN_HALF : 0;
}


/* bytes of the signature; 0: there is none */

static size_t
logic_sign(const logic_jwk_t *key, const char *text, uint8_t *signature)
{
    int           rc;
    size_t        len;
    unsigned      n;
    EVP_MD_CTX   *ctx;

    if (key->alg == LOGIC_HS256) {
        return HMAC(EVP_sha256(), key->secret, (int) key->secret_len,
                    (const uint8_t *) text, strlen(text), signature, &n)
               != NULL ? n : 0;
    }

    ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        return 0;
    }

    len = LOGIC_SIGN_MAX;
    rc = EVP_DigestSignInit(ctx, NULL, key->alg == LOGIC_EDDSA
                                       ? NULL : EVP_sha256(),
                            NULL, key->pkey);
    if (rc == 1) {
        rc = EVP_DigestSign(ctx, signature, &len, (const uint8_t *) text,
                            strlen(text));
    }

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();

    if (rc != 1) {
        return 0;
    }

    return key->alg == LOGIC_ES256 ? logic_sign_pair(signature, len) : len;
}


char *
logic_jwt_sign(const logic_jwk_t *key, json_t *claims)
{
    int       n;
    char      header[64], *text, *token, *end;
    size_t    len;
    uint8_t   signature[LOGIC_SIGN_MAX];

    n = snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}",
                 logic_alg_names[key->alg]);
    text = json_dumps(claims, JSON_COMPACT);
    token = NULL;

    if (text != NULL) {
        len = strlen(text);
        token = malloc(LOGIC_BASE64URL_TEXT((size_t) n)
                       + LOGIC_BASE64URL_TEXT(len)
                       + LOGIC_BASE64URL_TEXT(sizeof(signature)));
    }

    if (token == NULL) {
        free(text);
        return NULL;
    }

    logic_base64url_encode(token, header, (size_t) n);
    strcat(token, ".");
    logic_base64url_encode(token + strlen(token), text, len);
    free(text);

    len = logic_sign(key, token, signature);

    if (len == 0) {
        free(token);
        return NULL;
    }

    end = token + strlen(token);
    *end++ = '.';
    logic_base64url_encode(end, signature, len);

    return token;
}
