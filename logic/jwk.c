/*
 * Keys for tokens: from secrets, PEM, and JWK Sets.
 */

#include "jwk.h"

#include "base64url.h"

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_JWK_NUMBER  2048          /* characters of one: 12,288 bits */


static int logic_jwks_add(logic_jwks_t *set, logic_jwk_t *key, char *err,
    size_t size);
static int logic_jwks_pkey(logic_jwks_t *set, unsigned algs, EVP_PKEY *pkey,
    const char *kid, char *err, size_t size);
static logic_jwk_t *logic_jwk_new(logic_alg_t alg, const char *kid);
static logic_jwk_t *logic_jwk_secret(const void *secret, size_t len, char *err,
    size_t size);
static int logic_jwk_judge(EVP_PKEY *pkey, logic_alg_t *alg, char *err,
    size_t size);
static int logic_jwk_judge_rsa(EVP_PKEY *pkey, char *err, size_t size);
static int logic_jwk_no_password(char *buf, int size, int rwflag, void *data);
static int logic_jwks_block(logic_jwks_t *set, unsigned algs, BIO *bio,
    char *err, size_t size);
static int logic_jwks_jwk(logic_jwks_t *set, unsigned algs, int secrets,
    json_t *jwk, char *err, size_t size);
static int logic_jwk_wanted(json_t *jwk, logic_alg_t alg, unsigned algs);
static int logic_jwk_verifies(json_t *ops);
static int logic_jwk_oct(logic_jwks_t *set, unsigned algs, json_t *jwk,
    const char *kid, char *err, size_t size);
static EVP_PKEY *logic_jwk_rsa(json_t *jwk);
static EVP_PKEY *logic_jwk_ec(json_t *jwk);
static EVP_PKEY *logic_jwk_okp(json_t *jwk);
static EVP_PKEY *logic_jwk_make(const char *type, OSSL_PARAM_BLD *bld);
static ssize_t logic_jwk_bytes(json_t *jwk, const char *name, uint8_t *buf);
static int logic_jwk_says(json_t *jwk, const char *name, const char *value);


const char *const  logic_alg_names[] = {
    "HS256", "RS256", "ES256", "EdDSA", NULL
};


/* ---- a set ------------------------------------------------------------- */

logic_jwks_t *
logic_jwks_new(void)
{
    logic_jwks_t  *set;

    set = calloc(1, sizeof(logic_jwks_t));

    if (set != NULL) {
        set->refs = 1;
    }

    return set;
}


logic_jwks_t *
logic_jwks_ref(logic_jwks_t *set)
{
    __atomic_add_fetch(&set->refs, 1, __ATOMIC_SEQ_CST);

    return set;
}


void
logic_jwks_unref(logic_jwks_t *set)
{
    if (set == NULL
        || __atomic_sub_fetch(&set->refs, 1, __ATOMIC_SEQ_CST) > 0)
    {
        return;
    }

    while (set->n > 0) {
        logic_jwk_free(set->key[--set->n]);
    }

    free(set);
}


/* The key is the set's, or is gone. */

static int
logic_jwks_add(logic_jwks_t *set, logic_jwk_t *key, char *err, size_t size)
{
    if (key == NULL) {
        snprintf(err, size, "no memory");
        return -1;
    }

    if (set->n == LOGIC_JWK_KEYS) {
        snprintf(err, size, "more than %d keys", LOGIC_JWK_KEYS);
        logic_jwk_free(key);
        return -1;
    }

    set->key[set->n++] = key;

    return 0;
}


static logic_jwk_t *
logic_jwk_new(logic_alg_t alg, const char *kid)
{
    logic_jwk_t  *key;

    key = calloc(1, sizeof(logic_jwk_t));
    if (key == NULL) {
        return NULL;
    }

    key->alg = alg;

    if (kid != NULL) {
        key->kid = strdup(kid);

        if (key->kid == NULL) {
            free(key);
            return NULL;
        }
    }

    return key;
}


void
logic_jwk_free(logic_jwk_t *key)
{
    if (key->secret != NULL) {
        OPENSSL_cleanse(key->secret, key->secret_len);
        free(key->secret);
    }

    EVP_PKEY_free(key->pkey);
    free(key->kid);
    free(key);
}


/* ---- what a key is good for -------------------------------------------- */

static int
logic_jwk_judge(EVP_PKEY *pkey, logic_alg_t *alg, char *err, size_t size)
{
    char    group[64];
    size_t  n;

    switch (EVP_PKEY_get_base_id(pkey)) {

    case EVP_PKEY_RSA:
        *alg = LOGIC_RS256;
        return logic_jwk_judge_rsa(pkey, err, size);

    case EVP_PKEY_EC:
        *alg = LOGIC_ES256;

        if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), &n) != 1
            || strcmp(group, "prime256v1") != 0)
        {
            snprintf(err, size, "an elliptic curve other than P-256");
            return -1;
        }

        return 0;

    case EVP_PKEY_ED25519:
        *alg = LOGIC_EDDSA;
        return 0;

    default:
        snprintf(err, size, "neither RSA, nor P-256, nor Ed25519");
        return -1;
    }
}


static int
logic_jwk_judge_rsa(EVP_PKEY *pkey, char *err, size_t size)
{
    int      bits, good;
    BIGNUM  *e;

    bits = EVP_PKEY_get_bits(pkey);

    if (bits < LOGIC_JWK_RSA_MIN || bits > LOGIC_JWK_RSA_MAX) {
        snprintf(err, size, "RSA of %d bits, %d to %d are taken", bits,
                 LOGIC_JWK_RSA_MIN, LOGIC_JWK_RSA_MAX);
        return -1;
    }

    /* 1 verifies whatever it is given; a long one takes long */

    e = NULL;
    good = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1
           && BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= 64;
    BN_free(e);

    if (!good) {
        snprintf(err, size, "RSA with an exponent that is not odd, from 3 to "
                 "64 bits");
        return -1;
    }

    return 0;
}


/* pkey is the set's, or is gone */

static int
logic_jwks_pkey(logic_jwks_t *set, unsigned algs, EVP_PKEY *pkey,
    const char *kid, char *err, size_t size)
{
    logic_alg_t   alg;
    logic_jwk_t  *key;

    if (logic_jwk_judge(pkey, &alg, err, size) != 0) {
        EVP_PKEY_free(pkey);
        return -1;
    }

    if ((algs & 1u << alg) == 0) {
        snprintf(err, size, "a key for %s, which algorithms does not have",
                 logic_alg_names[alg]);
        EVP_PKEY_free(pkey);
        return -1;
    }

    key = logic_jwk_new(alg, kid);

    if (key == NULL) {
        EVP_PKEY_free(pkey);

    } else {
        key->pkey = pkey;
    }

    return logic_jwks_add(set, key, err, size);
}


/* ---- secrets and PEM --------------------------------------------------- */

static logic_jwk_t *
logic_jwk_secret(const void *secret, size_t len, char *err, size_t size)
{
    logic_jwk_t  *key;

    if (len < LOGIC_JWK_SECRET) {
        snprintf(err, size, "a secret of %zu bytes, %d are needed", len,
                 LOGIC_JWK_SECRET);
        return NULL;
    }

    key = logic_jwk_new(LOGIC_HS256, NULL);

    if (key != NULL) {
        key->secret = malloc(len);

        if (key->secret == NULL) {
            logic_jwk_free(key);
            key = NULL;
        }
    }

    if (key == NULL) {
        snprintf(err, size, "no memory");
        return NULL;
    }

    memcpy(key->secret, secret, len);
    key->secret_len = len;

    return key;
}


int
logic_jwks_secret(logic_jwks_t *set, unsigned algs, const void *secret,
    size_t len, char *err, size_t size)
{
    logic_jwk_t  *key;

    if ((algs & 1u << LOGIC_HS256) == 0) {
        snprintf(err, size, "a secret for HS256, which algorithms does not "
                 "have");
        return -1;
    }

    if (memmem(secret, len, "-----BEGIN ", 11) != NULL) {
        snprintf(err, size, "a key in PEM, which is no secret");
        return -1;
    }

    key = logic_jwk_secret(secret, len, err, size);

    return key != NULL ? logic_jwks_add(set, key, err, size) : -1;
}


int
logic_jwks_pem(logic_jwks_t *set, unsigned algs, const char *text, size_t len,
    char *err, size_t size)
{
    int   rc;
    BIO  *bio;

    if (memmem(text, len, "PRIVATE KEY-----", 16) != NULL) {
        snprintf(err, size, "a private key: the public one is needed, "
                 "\"openssl pkey -pubout\" makes it");
        return -1;
    }

    bio = BIO_new_mem_buf(text, (int) len);
    if (bio == NULL) {
        snprintf(err, size, "no memory");
        return -1;
    }

    while ((rc = logic_jwks_block(set, algs, bio, err, size)) > 0) {
        /* another one */
    }

    BIO_free(bio);
    ERR_clear_error();

    if (rc == 0 && set->n == 0) {
        snprintf(err, size, "no key");
        return -1;
    }

    return rc;
}


/* 1: a key; 0: there is no other; -1: it is none */

static int
logic_jwks_block(logic_jwks_t *set, unsigned algs, BIO *bio, char *err,
    size_t size)
{
    char           *name, *header;
    long            len;
    uint8_t        *data;
    EVP_PKEY       *pkey;
    const uint8_t  *p;

    if (PEM_read_bio(bio, &name, &header, &data, &len) != 1) {

        if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
            return 0;
        }

        snprintf(err, size, "what begins as PEM does not go on so");
        return -1;
    }

    p = data;
    pkey = strcmp(name, "PUBLIC KEY") == 0 ? d2i_PUBKEY(NULL, &p, len) : NULL;

    if (pkey == NULL) {
        snprintf(err, size, "PEM of \"%.32s\", which is no public key", name);
    }

    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);

    if (pkey == NULL
        || logic_jwks_pkey(set, algs, pkey, NULL, err, size) != 0)
    {
        return -1;
    }

    return 1;
}


/* ---- what signs -------------------------------------------------------- */

static int
logic_jwk_no_password(char *buf, int size, int rwflag, void *data)
{
    (void) buf;
    (void) size;
    (void) rwflag;
    (void) data;

    return -1;                  /* else somebody would be asked for it */
}


logic_jwk_t *
logic_jwk_private(const char *text, size_t len, char *err, size_t size)
{
    BIO          *bio;
    EVP_PKEY     *pkey;
    logic_alg_t   alg;
    logic_jwk_t  *key;

    if (memmem(text, len, "-----BEGIN ", 11) == NULL) {
        return logic_jwk_secret(text, len, err, size);
    }

    bio = BIO_new_mem_buf(text, (int) len);
    pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL,
                                                 logic_jwk_no_password, NULL)
                       : NULL;
    BIO_free(bio);
    ERR_clear_error();

    if (pkey == NULL) {
        snprintf(err, size, "no private key in PEM without a password");
        return NULL;
    }

    if (logic_jwk_judge(pkey, &alg, err, size) != 0) {
        EVP_PKEY_free(pkey);
        return NULL;
    }

    key = logic_jwk_new(alg, NULL);

    if (key == NULL) {
        snprintf(err, size, "no memory");
        EVP_PKEY_free(pkey);
        return NULL;
    }

    key->pkey = pkey;

    return key;
}


/* ---- JWK Sets ---------------------------------------------------------- */

int
logic_jwks_json(logic_jwks_t *set, unsigned algs, int secrets,
    const char *text, size_t len, char *err, size_t size)
{
    int      rc;
    char     why[128];
    size_t   i;
    json_t  *json, *keys, *jwk;

    json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    keys = json_object_get(json, "keys");

    if (!json_is_array(keys)) {
        snprintf(err, size, "not a JWK Set: %s", json == NULL ? "no JSON"
                 : "it has no list of keys");
        json_decref(json);
        return -1;
    }

    if (json_array_size(keys) > LOGIC_JWK_KEYS) {
        snprintf(err, size, "%zu keys, %d are taken", json_array_size(keys),
                 LOGIC_JWK_KEYS);
        json_decref(json);
        return -1;
    }

    rc = 0;

    json_array_foreach(keys, i, jwk) {
        rc = logic_jwks_jwk(set, algs, secrets, jwk, why, sizeof(why));

        if (rc != 0) {
            snprintf(err, size, "key %zu: %s", i + 1, why);
            break;
        }
    }

    json_decref(json);
    ERR_clear_error();

    return rc;
}


static int
logic_jwks_jwk(logic_jwks_t *set, unsigned algs, int secrets, json_t *jwk,
    char *err, size_t size)
{
    json_t      *kid;
    EVP_PKEY    *pkey;
    const char  *name;

    kid = json_object_get(jwk, "kid");
    name = json_string_value(kid);

    if (!json_is_string(json_object_get(jwk, "kty"))
        || (kid != NULL
            && (name == NULL || json_string_length(kid) > LOGIC_JWK_KID)))
    {
        snprintf(err, size, "not a JWK");
        return -1;
    }

    if (logic_jwk_says(jwk, "kty", "oct")) {

        if (!secrets) {
            snprintf(err, size, "a secret, where everybody can see it");
            return -1;
        }

        return logic_jwk_oct(set, algs, jwk, name, err, size);
    }

    if (logic_jwk_says(jwk, "kty", "RSA")) {
        if (!logic_jwk_wanted(jwk, LOGIC_RS256, algs)) {
            return 0;
        }

        pkey = logic_jwk_rsa(jwk);

    } else if (logic_jwk_says(jwk, "kty", "EC")) {
        if (!logic_jwk_wanted(jwk, LOGIC_ES256, algs)
            || !logic_jwk_says(jwk, "crv", "P-256"))
        {
            return 0;
        }

        pkey = logic_jwk_ec(jwk);

    } else if (logic_jwk_says(jwk, "kty", "OKP")) {
        if (!logic_jwk_wanted(jwk, LOGIC_EDDSA, algs)
            || !logic_jwk_says(jwk, "crv", "Ed25519"))
        {
            return 0;
        }

        pkey = logic_jwk_okp(jwk);

    } else {
        return 0;
    }

    if (pkey == NULL) {
        snprintf(err, size, "not a public key of its kind");
        return -1;
    }

    return logic_jwks_pkey(set, algs, pkey, name, err, size);
}


/* Whether it is meant for this. */

static int
logic_jwk_wanted(json_t *jwk, logic_alg_t alg, unsigned algs)
{
    json_t  *ops;

    ops = json_object_get(jwk, "key_ops");

    return (algs & 1u << alg) != 0
           && (json_object_get(jwk, "alg") == NULL
               || logic_jwk_says(jwk, "alg", logic_alg_names[alg]))
           && (json_object_get(jwk, "use") == NULL
               || logic_jwk_says(jwk, "use", "sig"))
           && (ops == NULL || logic_jwk_verifies(ops));
}


static int
logic_jwk_verifies(json_t *ops)
{
    size_t   i;
    json_t  *op;

    json_array_foreach(ops, i, op) {
        if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
        {
            return 1;
        }
    }

    return 0;
}


static int
logic_jwk_oct(logic_jwks_t *set, unsigned algs, json_t *jwk, const char *kid,
    char *err, size_t size)
{
    int      rc;
    ssize_t  n;
    uint8_t  buf[LOGIC_BASE64URL_BYTES(LOGIC_JWK_NUMBER)];

    if (!logic_jwk_wanted(jwk, LOGIC_HS256, algs)) {
        return 0;
    }

    n = logic_jwk_bytes(jwk, "k", buf);

    if (n < 0) {
        snprintf(err, size, "not a secret");
        return -1;
    }

    rc = logic_jwks_secret(set, algs, buf, (size_t) n, err, size);
    OPENSSL_cleanse(buf, sizeof(buf));

    if (rc == 0 && kid != NULL) {
        set->key[set->n - 1]->kid = strdup(kid);

        if (set->key[set->n - 1]->kid == NULL) {
            snprintf(err, size, "no memory");
            return -1;
        }
    }

    return rc;
}


static EVP_PKEY *
logic_jwk_rsa(json_t *jwk)
{
    BIGNUM          *n, *e;
    ssize_t          n_len, e_len;
    uint8_t          n_buf[LOGIC_BASE64URL_BYTES(LOGIC_JWK_NUMBER)];
    uint8_t          e_buf[LOGIC_BASE64URL_BYTES(LOGIC_JWK_NUMBER)];
    EVP_PKEY        *pkey;
    OSSL_PARAM_BLD  *bld;

    n_len = logic_jwk_bytes(jwk, "n", n_buf);
    e_len = logic_jwk_bytes(jwk, "e", e_buf);

    if (n_len <= 0 || e_len <= 0) {
        return NULL;
    }

    pkey = NULL;
    n = BN_bin2bn(n_buf, (int) n_len, NULL);
    e = BN_bin2bn(e_buf, (int) e_len, NULL);
    bld = OSSL_PARAM_BLD_new();

    if (n != NULL && e != NULL && bld != NULL
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n)
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
    {
        pkey = logic_jwk_make("RSA", bld);
    }

    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);

    return pkey;
}


static EVP_PKEY *
logic_jwk_ec(json_t *jwk)
{
    uint8_t          buf[LOGIC_BASE64URL_BYTES(LOGIC_JWK_NUMBER)];
    uint8_t          point[65];
    EVP_PKEY        *pkey;
    OSSL_PARAM_BLD  *bld;

    point[0] = 0x04;            /* not compressed: x, y */

    if (logic_jwk_bytes(jwk, "x", buf) != 32) {
        return NULL;
    }

    memcpy(point + 1, buf, 32);

    if (logic_jwk_bytes(jwk, "y", buf) != 32) {
        return NULL;
    }

    memcpy(point + 33, buf, 32);

    pkey = NULL;
    bld = OSSL_PARAM_BLD_new();

    if (bld != NULL
        && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
                                           "prime256v1", 0)
        && OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY,
                                            point, sizeof(point)))
    {
        pkey = logic_jwk_make("EC", bld);
    }

    OSSL_PARAM_BLD_free(bld);

    return pkey;
}


static EVP_PKEY *
logic_jwk_okp(json_t *jwk)
{
    uint8_t  buf[LOGIC_BASE64URL_BYTES(LOGIC_JWK_NUMBER)];

    if (logic_jwk_bytes(jwk, "x", buf) != 32) {
        return NULL;
    }

    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, buf, 32);
}


/* A public key, of a point that is on its curve. */

static EVP_PKEY *
logic_jwk_make(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY      *pkey;
    OSSL_PARAM    *params;
    EVP_PKEY_CTX  *ctx;

    pkey = NULL;
    params = OSSL_PARAM_BLD_to_param(bld);
    ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
    {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);

    return pkey;
}


/* buf has LOGIC_BASE64URL_BYTES(LOGIC_JWK_NUMBER); -1: it is none of that */

static ssize_t
logic_jwk_bytes(json_t *jwk, const char *name, uint8_t *buf)
{
    size_t   len;
    json_t  *value;

    value = json_object_get(jwk, name);
    len = json_string_length(value);

    if (!json_is_string(value) || len > LOGIC_JWK_NUMBER) {
        return -1;
    }

    return logic_base64url(json_string_value(value), len, buf);
}


static int
logic_jwk_says(json_t *jwk, const char *name, const char *value)
{
    json_t  *said;

    said = json_object_get(jwk, name);

    return json_is_string(said) && strcmp(json_string_value(said), value) == 0;
}
