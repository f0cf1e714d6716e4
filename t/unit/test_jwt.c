#include "test_jwt.h"

#include <openssl/pem.h>


logic_jwt_rules_t   rules = { ALL, "", "", 0 };
int64_t             now;
char                err[256];
const char         *reason;
json_t             *claims;
char                signing[65536];


logic_jwks_t *
jwks(int secrets, const char *text)
{
    logic_jwks_t  *set;

    set = logic_jwks_new();
    assert_non_null(set);

    if (logic_jwks_json(set, rules.algs, secrets, text, strlen(text), err,
                        sizeof(err))
        == 0)
    {
        return set;
    }

    logic_jwks_unref(set);

    return NULL;
}


logic_jwks_t *
jwks_of(const char *key)
{
    char           text[4096];
    logic_jwks_t  *set;

    snprintf(text, sizeof(text), "{\"keys\":[%s]}", key);
    set = jwks(1, text);

    if (set == NULL) {
        fail_msg("%s: %s", key, err);
    }

    return set;
}


/* without a byte behind it */

int
verify(const logic_jwks_t *keys, const char *token)
{
    int     code;
    char   *copy;
    size_t  len;

    len = strlen(token);
    copy = malloc(len + 1);
    memcpy(copy, token, len);
    json_decref(claims);

    reason = NULL;
    code = logic_jwt_verify(&rules, keys, copy, len, now * 1000, &claims,
                            &reason);
    free(copy);

    assert_true((code == LOGIC_JWT_GOOD) == (claims != NULL));
    assert_true(code == LOGIC_JWT_GOOD || reason != NULL);

    return code;
}


void
denied(const logic_jwks_t *keys, const char *token, const char *why)
{
    assert_int_equal(verify(keys, token), LOGIC_JWT_DENIED);
    assert_string_equal(reason, why);
}


static void
encode(char *out, const void *data, size_t len)
{
    size_t          i;
    uint32_t        acc;
    unsigned        bits;
    const uint8_t  *p = data;

    static const char  alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    acc = 0;
    bits = 0;

    for (i = 0; i < len; i++) {
        acc = acc << 8 | p[i];
        bits += 8;

        while (bits >= 6) {
            bits -= 6;
            *out++ = alphabet[acc >> bits & 63];
        }
    }

    if (bits > 0) {
        *out++ = alphabet[acc << (6 - bits) & 63];
    }

    *out = '\0';
}


char *
unsigned_token(const char *header, const char *payload)
{
    encode(signing, header, strlen(header));
    strcat(signing, ".");
    encode(signing + strlen(signing), payload, strlen(payload));

    return signing;
}


char *
with_signature(const void *sig, size_t len)
{
    strcat(signing, ".");
    encode(signing + strlen(signing), sig, len);

    return signing;
}


char *
hs256(const char *header, const char *payload)
{
    uint8_t   mac[EVP_MAX_MD_SIZE];
    unsigned  n;

    unsigned_token(header, payload);
    HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, (uint8_t *) signing,
         strlen(signing), mac, &n);

    return with_signature(mac, n);
}


char *
by_key(EVP_PKEY *pkey, const EVP_MD *md, const char *header,
    const char *payload)
{
    size_t       len;
    uint8_t      sig[2048];
    EVP_MD_CTX  *ctx;

    unsigned_token(header, payload);
    len = sizeof(sig);
    ctx = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, (uint8_t *) signing,
                                    strlen(signing)), 1);
    EVP_MD_CTX_free(ctx);

    return with_signature(sig, len);
}


logic_jwks_t *
secret_set(void)
{
    logic_jwks_t  *set;

    set = logic_jwks_new();
    assert_int_equal(logic_jwks_secret(set, ALL, SECRET, sizeof(SECRET) - 1,
                                       err, sizeof(err)), 0);

    return set;
}


char *
pem(EVP_PKEY *pkey, int private)
{
    BIO   *bio;
    char  *text, *copy;
    long   n;

    bio = BIO_new(BIO_s_mem());

    if (private) {
        PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);

    } else {
        PEM_write_bio_PUBKEY(bio, pkey);
    }

    n = BIO_get_mem_data(bio, &text);
    copy = strndup(text, (size_t) n);
    BIO_free(bio);

    return copy;
}


int
pem_set(logic_jwks_t **set, const char *text)
{
    int  rc;

    *set = logic_jwks_new();
    rc = logic_jwks_pem(*set, rules.algs, text, strlen(text), err,
                        sizeof(err));
    if (rc != 0) {
        logic_jwks_unref(*set);
    }

    return rc;
}
