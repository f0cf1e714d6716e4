/* LINK: logic/jwt.c logic/jwk.c logic/base64url.c */

/*
 * Tokens and keys: the examples of RFC 7515, 7517, 7519 and 8037, and what
 * somebody may try who has no key.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logic/base64url.h"
#include "logic/jwt.h"

#define ALL  (1u << LOGIC_HS256 | 1u << LOGIC_RS256 | 1u << LOGIC_ES256      \
              | 1u << LOGIC_EDDSA)

#define JOE  "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9l"  \
             "eGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

#define JOE_EXP  1300819380LL           /* s */

/* RFC 7515: A.1, the same as RFC 7519, 3.1; A.2; A.3. RFC 8037: A.4 */

#define A1  "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JOE                  \
            ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define A2  "eyJhbGciOiJSUzI1NiJ9." JOE                                      \
            ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZ" \
            "mh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbK" \
            "BYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1" \
            "L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6B" \
            "fI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhW" \
            "kWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define A3  "eyJhbGciOiJFUzI1NiJ9." JOE                                      \
            ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8IS" \
            "lSApmWQxfKTUJqPP3-Kg6NU1Q"
#define A4  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"       \
            ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGj" \
            "g5BhVsPt9g7sVvpAr_MuM0KAg"

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

/* RFC 7517: A.1 (an EC key for encryption, an RSA key), A.3 */

#define SET1  "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNI" \
    "cKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHu"  \
    "hp7x8PxltmWWlbbM4IFyM\",\"use\":\"enc\",\"kid\":\"1\"},{\"kty\":\"RSA"  \
    "\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAA"  \
    "tVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5J"  \
    "sGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaS"  \
    "qzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4v"  \
    "MQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJ"  \
    "zKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}]}"
#define SET3  "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"A128KW\",\"k\":\"Gawgg" \
    "uFyGrWKav7AX4VKUg\"},{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1q"  \
    "zKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\",\"k"  \
    "id\":\"HMAC key used in JWS spec Appendix A.1 example\"}]}"

#define SECRET  "a secret that is long enough to be one"

static logic_jwt_rules_t   rules = { ALL, "", "", 0 };
static int64_t             now;             /* s */
static char                err[256];
static const char         *reason;
static json_t             *claims;


static logic_jwks_t *
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


static logic_jwks_t *
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

static int
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


static void
denied(const logic_jwks_t *keys, const char *token, const char *why)
{
    assert_int_equal(verify(keys, token), LOGIC_JWT_DENIED);
    assert_string_equal(reason, why);
}


/* ---- making them ---- */

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


static char  signing[65536];

static char *
unsigned_token(const char *header, const char *payload)
{
    encode(signing, header, strlen(header));
    strcat(signing, ".");
    encode(signing + strlen(signing), payload, strlen(payload));

    return signing;
}


static char *
with_signature(const void *sig, size_t len)
{
    strcat(signing, ".");
    encode(signing + strlen(signing), sig, len);

    return signing;
}


static char *
hs256(const char *header, const char *payload)
{
    uint8_t   mac[EVP_MAX_MD_SIZE];
    unsigned  n;

    unsigned_token(header, payload);
    HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, (uint8_t *) signing,
         strlen(signing), mac, &n);

    return with_signature(mac, n);
}


static char *
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


static logic_jwks_t *
secret_set(void)
{
    logic_jwks_t  *set;

    set = logic_jwks_new();
    assert_int_equal(logic_jwks_secret(set, ALL, SECRET, sizeof(SECRET) - 1,
                                       err, sizeof(err)), 0);

    return set;
}


static char *
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


static int
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


/* ---- the examples ---- */

static void
rfc_signatures(void **state)
{
    size_t         i;
    char           other[1024], *dot;
    logic_jwks_t  *keys;

    static const struct {
        const char  *key, *token;
    } vectors[] = { { K1, A1 }, { K2, A2 }, { K3, A3 } };

    (void) state;
    now = JOE_EXP - 1;

    for (i = 0; i < 3; i++) {
        keys = jwks_of(vectors[i].key);
        assert_int_equal(keys->n, 1);
        assert_int_equal(verify(keys, vectors[i].token), LOGIC_JWT_GOOD);
        assert_string_equal(json_string_value(json_object_get(claims, "iss")),
                            "joe");
        assert_true(json_is_true(json_object_get(claims,
                                 "http://example.com/is_root")));

        /* what is signed, and the signature */

        strcpy(other, vectors[i].token);
        dot = strchr(other, '.');
        dot[10] = dot[10] == 'A' ? 'B' : 'A';
        denied(keys, other, "the token's signature is wrong");

        strcpy(other, vectors[i].token);
        dot = strrchr(other, '.');
        dot[10] = dot[10] == 'A' ? 'B' : 'A';
        denied(keys, other, "the token's signature is wrong");

        now = JOE_EXP;
        denied(keys, vectors[i].token, "the token has expired");
        now = JOE_EXP - 1;

        logic_jwks_unref(keys);
    }
}


/* What it signs is no JSON: that is looked at only when it is right. */

static void
rfc_eddsa(void **state)
{
    char           other[512], *dot;
    logic_jwks_t  *keys;

    (void) state;
    keys = jwks_of(K4);

    denied(keys, A4, "the token's claims are not a JSON object");

    strcpy(other, A4);
    dot = strrchr(other, '.');
    dot[10] = dot[10] == 'A' ? 'B' : 'A';
    denied(keys, other, "the token's signature is wrong");

    logic_jwks_unref(keys);
}


static void
rfc_none(void **state)
{
    logic_jwks_t  *keys;

    (void) state;
    now = JOE_EXP - 1;
    keys = jwks_of(K1 "," K2 "," K3 "," K4);

    /* RFC 7519, 6.1 */

    denied(keys, "eyJhbGciOiJub25lIn0." JOE ".",
           "the token is not signed in compact form");
    denied(keys, "eyJhbGciOiJub25lIn0." JOE ".AAAA",
           "the token's algorithm is none of those configured");

    logic_jwks_unref(keys);
}


static void
rfc_sets(void **state)
{
    logic_jwks_t  *set;

    (void) state;

    set = jwks(0, SET1);
    assert_non_null(set);
    assert_int_equal(set->n, 1);
    assert_int_equal(set->key[0]->alg, LOGIC_RS256);
    assert_string_equal(set->key[0]->kid, "2011-04-29");
    logic_jwks_unref(set);

    set = jwks(1, SET3);
    assert_non_null(set);
    assert_int_equal(set->n, 1);
    assert_int_equal(set->key[0]->alg, LOGIC_HS256);
    assert_int_equal(set->key[0]->secret_len, 64);
    logic_jwks_unref(set);

    assert_null(jwks(0, SET3));
}


/* ---- algorithms ---- */

#define HEAD(alg)  "{\"alg\":\"" alg "\"}"

static void
every_algorithm(void **state)
{
    char            text[8192], *one, *token, raw[64];
    size_t          i, len;
    uint8_t         sig[128];
    ECDSA_SIG      *ec;
    EVP_PKEY       *key[3];
    EVP_MD_CTX     *ctx;
    const uint8_t  *p;
    logic_jwks_t   *set;

    (void) state;
    now = 1000;

    key[0] = EVP_RSA_gen(2048);
    key[1] = EVP_EC_gen("P-256");
    key[2] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    text[0] = '\0';

    for (i = 0; i < 3; i++) {
        one = pem(key[i], 0);
        strcat(text, one);
        free(one);
    }

    assert_int_equal(pem_set(&set, text), 0);
    assert_int_equal(set->n, 3);

    token = by_key(key[0], EVP_sha256(), HEAD("RS256"), "{\"sub\":\"1\"}");
    assert_int_equal(verify(set, token), LOGIC_JWT_GOOD);

    token = by_key(key[2], NULL, HEAD("EdDSA"), "{\"sub\":\"1\"}");
    assert_int_equal(verify(set, token), LOGIC_JWT_GOOD);

    /* another hash than the algorithm's */

    token = by_key(key[0], EVP_sha1(), HEAD("RS256"), "{\"sub\":\"1\"}");
    denied(set, token, "the token's signature is wrong");

    /* DER, as OpenSSL makes it, is not what JOSE has: r and s are */

    token = by_key(key[1], EVP_sha256(), HEAD("ES256"), "{\"sub\":\"1\"}");
    denied(set, token, "the token's signature is wrong");

    unsigned_token(HEAD("ES256"), "{\"sub\":\"1\"}");
    len = sizeof(sig);
    ctx = EVP_MD_CTX_new();
    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key[1]);
    EVP_DigestSign(ctx, sig, &len, (uint8_t *) signing, strlen(signing));
    EVP_MD_CTX_free(ctx);
    p = sig;
    ec = d2i_ECDSA_SIG(NULL, &p, (long) len);
    BN_bn2binpad(ECDSA_SIG_get0_r(ec), (uint8_t *) raw, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(ec), (uint8_t *) raw + 32, 32);
    ECDSA_SIG_free(ec);

    token = with_signature(raw, 64);
    assert_int_equal(verify(set, token), LOGIC_JWT_GOOD);

    /* of zeros, which verified everything in Java's for a while */

    memset(raw, 0, sizeof(raw));
    unsigned_token(HEAD("ES256"), "{\"sub\":\"1\"}");
    denied(set, with_signature(raw, 64), "the token's signature is wrong");

    /* algorithms that the configuration does not have */

    rules.algs = 1u << LOGIC_ES256;
    token = by_key(key[0], EVP_sha256(), HEAD("RS256"), "{\"sub\":\"1\"}");
    denied(set, token, "the token's algorithm is none of those configured");
    rules.algs = ALL;

    logic_jwks_unref(set);

    for (i = 0; i < 3; i++) {
        EVP_PKEY_free(key[i]);
    }
}


/* The public key as a secret: with everything configured that there is. */

static void
confusion(void **state)
{
    char          *text;
    uint8_t        mac[EVP_MAX_MD_SIZE];
    unsigned       n;
    EVP_PKEY      *key;
    logic_jwks_t  *set;

    (void) state;
    now = 1000;
    key = EVP_RSA_gen(2048);
    text = pem(key, 0);
    assert_int_equal(pem_set(&set, text), 0);

    unsigned_token(HEAD("HS256"), "{\"sub\":\"1\"}");
    HMAC(EVP_sha256(), text, (int) strlen(text), (uint8_t *) signing,
         strlen(signing), mac, &n);
    assert_int_equal(verify(set, with_signature(mac, n)), LOGIC_JWT_UNKNOWN);

    assert_int_equal(logic_jwks_secret(set, ALL, SECRET, sizeof(SECRET) - 1,
                                       err, sizeof(err)), 0);
    denied(set, signing, "the token's signature is wrong");

    /* nor is it taken for one by mistake */

    assert_int_equal(logic_jwks_secret(set, ALL, text, strlen(text), err,
                                       sizeof(err)), -1);
    assert_string_equal(err, "a key in PEM, which is no secret");

    free(text);
    EVP_PKEY_free(key);
    logic_jwks_unref(set);
}


/* ---- form ---- */

static void
forms(void **state)
{
    char          *token, *dot, long_one[LOGIC_JWT_MAX + 64];
    size_t         i;
    logic_jwks_t  *keys;

    static const char *const  split[] = {
        "", ".", "..", "...", "a", "a.b", "a.b.c.d", "e30.e30.e30.e30",
        "a.b.", ".b.c=", "e30.e30.AA AA", "e30.e30.AAAA\n", "e30.e30.AAAB=",
        "e30.e30.A", "e30.e30.AAAAA", "e30.e30.AB", "e30.e30.+/+/", NULL
    };

    static const char *const  heads[] = {
        "[]", "null", "\"alg\"", "{", "{\"alg\":\"HS256\"}x",
        "{\"alg\":\"none\",\"alg\":\"HS256\"}", "{\"alg\":\"HS256\",\"x\":\"\\u0000\"}",
        "{\"alg\":\"HS256\",\"x\":\"\xff\"}", "{\"alg\":\"HS256\",\"n\":1e999}", NULL
    };

    static const char *const  algs[] = {
        "{}", "{\"alg\":null}", "{\"alg\":[\"HS256\"]}", HEAD("hs256"),
        HEAD("HS256 "), HEAD(""), HEAD("none"), HEAD("None"), HEAD("NONE"),
        HEAD("HS512"), HEAD("PS256"), HEAD("ES384"), HEAD("Ed25519"),
        "{\"Alg\":\"HS256\"}", NULL
    };

    (void) state;
    now = 1000;
    keys = secret_set();

    for (i = 0; split[i] != NULL; i++) {
        assert_int_equal(verify(keys, split[i]), LOGIC_JWT_DENIED);
    }

    for (i = 0; heads[i] != NULL; i++) {
        denied(keys, hs256(heads[i], "{}"),
               "the token's header is not a JSON object");
    }

    for (i = 0; algs[i] != NULL; i++) {
        denied(keys, hs256(algs[i], "{}"),
               "the token's algorithm is none of those configured");
    }

    for (i = 0; heads[i] != NULL; i++) {
        denied(keys, hs256(HEAD("HS256"), heads[i]),
               "the token's claims are not a JSON object");
    }

    assert_int_equal(verify(keys, hs256(HEAD("HS256"), "{}")),
                     LOGIC_JWT_GOOD);

    /* padding, a bit that is left over, a MAC that is cut */

    token = hs256(HEAD("HS256"), "{}");
    strcat(token, "=");
    assert_int_equal(verify(keys, token), LOGIC_JWT_DENIED);

    token = hs256(HEAD("HS256"), "{}");
    dot = token + strlen(token) - 1;
    *dot = (char) (*dot + 1);
    assert_int_equal(verify(keys, token), LOGIC_JWT_DENIED);

    token = hs256(HEAD("HS256"), "{}");
    token[strlen(token) - 3] = '\0';
    assert_int_equal(verify(keys, token), LOGIC_JWT_DENIED);

    token = hs256(HEAD("HS256"), "{}");
    *strrchr(token, '.') = '\0';
    strcat(token, ".");
    assert_int_equal(verify(keys, token), LOGIC_JWT_DENIED);

    memset(long_one, 'A', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = '\0';
    denied(keys, long_one, "the token is too long");

    logic_jwks_unref(keys);
}


/* What a token says about its key. */

static void
headers(void **state)
{
    size_t         i;
    logic_jwks_t  *keys;

    static const char *const  crit[] = {
        "[\"exp\"]", "[]", "[\"b64\"],\"b64\":false", "null", "\"\"", NULL
    };

    char  head[256];

    (void) state;
    now = 1000;
    keys = secret_set();

    for (i = 0; crit[i] != NULL; i++) {
        snprintf(head, sizeof(head), "{\"alg\":\"HS256\",\"crit\":%s}",
                 crit[i]);
        denied(keys, hs256(head, "{}"), "the token demands an extension");
    }

    /* whatever these say, the signature is by the key that is configured */

    assert_int_equal(verify(keys, hs256("{\"alg\":\"HS256\",\"typ\":\"JWT\","
        "\"jku\":\"https://evil.example/\",\"x5u\":\"https://evil.example/\","
        "\"jwk\":" K1 ",\"x5c\":[\"AAAA\"],\"x\":1}", "{}")),
        LOGIC_JWT_GOOD);

    denied(keys, hs256("{\"alg\":\"HS256\",\"kid\":1}", "{}"),
           "the token's kid is not a string");
    denied(keys, hs256("{\"alg\":\"HS256\",\"kid\":null}", "{}"),
           "the token's kid is not a string");

    logic_jwks_unref(keys);

    /* its own key is no key */

    keys = jwks_of(K1);
    denied(keys, hs256("{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\","
                       "\"k\":\"YSBzZWNyZXQgdGhhdCBpcyBsb25nIGVub3VnaCB0byBi"
                       "ZSBvbmU\"}}", "{}"),
           "the token's signature is wrong");
    logic_jwks_unref(keys);
}


#define OCT(kid)  "{\"kty\":\"oct\",\"kid\":\"" kid "\",\"k\":\"YSBzZWNyZXQ" \
                  "gdGhhdCBpcyBsb25nIGVub3VnaCB0byBiZSBvbmU\"}"

static void
kids(void **state)
{
    logic_jwks_t  *keys;

    (void) state;
    now = JOE_EXP - 1;

    keys = jwks_of(OCT("mine") "," K2);

    assert_int_equal(verify(keys, hs256("{\"alg\":\"HS256\",\"kid\":\"mine\"}",
                                        "{}")), LOGIC_JWT_GOOD);
    assert_int_equal(verify(keys, hs256(HEAD("HS256"), "{}")), LOGIC_JWT_GOOD);
    assert_int_equal(verify(keys, hs256("{\"alg\":\"HS256\",\"kid\":\"other\"}",
                                        "{}")), LOGIC_JWT_UNKNOWN);
    assert_int_equal(verify(keys, hs256("{\"alg\":\"HS256\",\"kid\":\"../../"
                                        "dev/null\"}", "{}")),
                     LOGIC_JWT_UNKNOWN);
    assert_int_equal(verify(keys, hs256("{\"alg\":\"HS256\",\"kid\":\"\"}",
                                        "{}")), LOGIC_JWT_UNKNOWN);
    logic_jwks_unref(keys);

    /* a key without a name serves for names that nobody has; one that has the
       name serves for no other algorithm */

    keys = secret_set();
    assert_int_equal(verify(keys, hs256("{\"alg\":\"HS256\",\"kid\":\"any\"}",
                                        "{}")), LOGIC_JWT_GOOD);
    logic_jwks_unref(keys);

    keys = jwks_of(OCT("mine"));
    assert_int_equal(verify(keys, A2), LOGIC_JWT_UNKNOWN);
    denied(keys, "eyJhbGciOiJSUzI1NiIsImtpZCI6Im1pbmUifQ." JOE ".AAAA",
           "the token's signature is wrong");
    logic_jwks_unref(keys);
}


/* ---- claims ---- */

static int
claim(const logic_jwks_t *keys, const char *payload)
{
    return verify(keys, hs256(HEAD("HS256"), payload)) == LOGIC_JWT_GOOD;
}


static void
times(void **state)
{
    logic_jwks_t  *keys;

    (void) state;
    keys = secret_set();
    now = 1000;

    assert_true(claim(keys, "{\"exp\":1001}"));
    assert_true(claim(keys, "{\"exp\":1000.5}"));
    assert_false(claim(keys, "{\"exp\":1000}"));
    assert_string_equal(reason, "the token has expired");
    assert_false(claim(keys, "{\"exp\":0}"));
    assert_false(claim(keys, "{\"exp\":-1}"));
    assert_true(claim(keys, "{\"exp\":1e300}"));
    assert_true(claim(keys, "{\"nbf\":1000}"));
    assert_false(claim(keys, "{\"nbf\":1001}"));
    assert_string_equal(reason, "the token is not valid yet");
    assert_false(claim(keys, "{\"exp\":\"2000\"}"));
    assert_string_equal(reason, "the token's exp or nbf is not a number");
    assert_false(claim(keys, "{\"exp\":null}"));
    assert_false(claim(keys, "{\"nbf\":true}"));
    assert_false(claim(keys, "{\"exp\":99999999999999999999}"));
    assert_false(claim(keys, "{\"exp\":1,\"exp\":2000}"));

    rules.leeway = 5000;
    assert_true(claim(keys, "{\"exp\":996}"));
    assert_false(claim(keys, "{\"exp\":995}"));
    assert_true(claim(keys, "{\"nbf\":1005}"));
    assert_false(claim(keys, "{\"nbf\":1006}"));
    rules.leeway = 0;

    logic_jwks_unref(keys);
}


static void
parties(void **state)
{
    logic_jwks_t  *keys;

    (void) state;
    keys = secret_set();
    now = 1000;

    assert_true(claim(keys, "{\"iss\":\"anybody\"}"));
    assert_false(claim(keys, "{\"aud\":\"chat\"}"));
    assert_string_equal(reason,
                        "the token is for an audience, and none is configured");
    assert_false(claim(keys, "{\"aud\":[]}"));

    rules.issuer = "us";
    assert_true(claim(keys, "{\"iss\":\"us\"}"));
    assert_false(claim(keys, "{\"iss\":\"US\"}"));
    assert_false(claim(keys, "{\"iss\":[\"us\"]}"));
    assert_false(claim(keys, "{}"));
    assert_string_equal(reason, "the token is from another issuer");
    rules.issuer = "";

    rules.audience = "chat";
    assert_true(claim(keys, "{\"aud\":\"chat\"}"));
    assert_true(claim(keys, "{\"aud\":[\"shop\",\"chat\"]}"));
    assert_false(claim(keys, "{\"aud\":[\"shop\",1,null,[\"chat\"]]}"));
    assert_false(claim(keys, "{\"aud\":\"chat2\"}"));
    assert_false(claim(keys, "{\"aud\":{\"chat\":\"chat\"}}"));
    assert_false(claim(keys, "{}"));
    assert_string_equal(reason, "the token is for another audience");
    rules.audience = "";

    logic_jwks_unref(keys);
}


/* ---- keys ---- */

static void
weak_keys(void **state)
{
    char          *text;
    EVP_PKEY      *key;
    logic_jwks_t  *set;

    (void) state;

    set = logic_jwks_new();
    assert_int_equal(logic_jwks_secret(set, ALL, SECRET, 31, err,
                                       sizeof(err)), -1);
    assert_string_equal(err, "a secret of 31 bytes, 32 are needed");
    assert_int_equal(logic_jwks_secret(set, ALL & ~(1u << LOGIC_HS256),
                                       SECRET, 38, err, sizeof(err)), -1);
    logic_jwks_unref(set);

    key = EVP_RSA_gen(1024);
    text = pem(key, 0);
    assert_int_equal(pem_set(&set, text), -1);
    assert_string_equal(err, "RSA of 1024 bits, 2048 to 8192 are taken");
    free(text);
    EVP_PKEY_free(key);

    key = EVP_EC_gen("P-384");
    text = pem(key, 0);
    assert_int_equal(pem_set(&set, text), -1);
    assert_string_equal(err, "an elliptic curve other than P-256");
    free(text);
    EVP_PKEY_free(key);

    key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    text = pem(key, 0);
    assert_int_equal(pem_set(&set, text), -1);
    free(text);
    EVP_PKEY_free(key);

    key = EVP_EC_gen("P-256");
    text = pem(key, 1);
    assert_int_equal(pem_set(&set, text), -1);
    assert_non_null(strstr(err, "a private key"));
    free(text);

    text = pem(key, 0);
    rules.algs = 1u << LOGIC_RS256;
    assert_int_equal(pem_set(&set, text), -1);
    assert_string_equal(err, "a key for ES256, which algorithms does not "
                        "have");
    rules.algs = ALL;

    /* half of one */

    text[strlen(text) / 2] = '\0';
    assert_int_equal(pem_set(&set, text), -1);
    free(text);
    EVP_PKEY_free(key);

    assert_int_equal(pem_set(&set, ""), -1);
    assert_int_equal(pem_set(&set, "nothing"), -1);
}


static void
hostile_sets(void **state)
{
    char          *text, *p;
    size_t         i;
    logic_jwks_t  *set;

    static const char *const  refused[] = {
        "", "x", "[]", "null", "{}", "{\"keys\":null}", "{\"keys\":{}}",
        "{\"keys\":[1]}", "{\"keys\":[{}]}", "{\"keys\":[{\"kty\":1}]}",
        "{\"keys\":[[" K2 "]]}",
        "{\"keys\":[{\"kty\":\"RSA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":1,\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":7}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" K3X
            "\",\"y\":\"" K3X "\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":"
            "\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
        "{\"keys\":[" K2 "],\"keys\":[" K3 "]}",
        "{\"keys\":[" OCT("1") "]}",
        "{\"keys\":[" K2 "," K1 "]}",
        NULL
    };

    static const char *const  passed[] = {
        "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"new\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-521\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"PS256\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"key_ops\":[\"encrypt\"]}]}",
        NULL
    };

    (void) state;

    for (i = 0; refused[i] != NULL; i++) {
        if (jwks(0, refused[i]) != NULL) {
            fail_msg("taken: %s", refused[i]);
        }
    }

    for (i = 0; passed[i] != NULL; i++) {
        set = jwks(0, passed[i]);
        assert_non_null(set);
        assert_int_equal(set->n, 0);
        logic_jwks_unref(set);
    }

    /* an exponent of 1, an even one, one of 65 bits */

    for (i = 0; i < 3; i++) {
        static const char *const  e[] = { "AQ", "BA", "AQAAAAAAAAAB" };

        text = malloc(4096);
        snprintf(text, 4096, "{\"keys\":[%s]}", K2);
        p = strstr(text, "AQAB");
        memmove(p + strlen(e[i]), p + 4, strlen(p + 4) + 1);
        memcpy(p, e[i], strlen(e[i]));
        assert_null(jwks(0, text));
        assert_non_null(strstr(err, "exponent"));
        free(text);
    }

    /* so many */

    text = malloc(10000 * (sizeof(K4) + 1) + 32);
    p = text + sprintf(text, "{\"keys\":[" K4);

    for (i = 1; i < 10000; i++) {
        p += sprintf(p, "," K4);

        if (i == 63 || i == 64) {
            strcpy(p, "]}");
            set = jwks(0, text);
            assert_true((set != NULL) == (i == 63));
            logic_jwks_unref(set);
        }
    }

    strcpy(p, "]}");
    assert_null(jwks(0, text));
    assert_string_equal(err, "10000 keys, 64 are taken");
    free(text);
}


static void
base64(void **state)
{
    size_t   i;
    uint8_t  buf[16];

    static const struct {
        const char  *text;
        int          n;
    } what[] = {
        { "", 0 }, { "AA", 1 }, { "AAA", 2 }, { "AAAA", 3 }, { "_-_-", 3 },
        { "A", -1 }, { "AAAAA", -1 }, { "AB", -1 }, { "AAB", -1 },
        { "AA==", -1 }, { "A+AA", -1 }, { "A/AA", -1 }, { "AA A", -1 },
        { "AA\n", -1 }, { "\xc3\xa4", -1 }, { "AA.A", -1 }
    };

    (void) state;

    for (i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
        assert_int_equal(logic_base64url(what[i].text, strlen(what[i].text),
                                         buf), what[i].n);
    }

    assert_int_equal(logic_base64url("aGVsbG8", 7, buf), 5);
    assert_memory_equal(buf, "hello", 5);
}


int
main(void)
{
    int  rc;

    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(rfc_signatures),
        cmocka_unit_test(rfc_eddsa),
        cmocka_unit_test(rfc_none),
        cmocka_unit_test(rfc_sets),
        cmocka_unit_test(every_algorithm),
        cmocka_unit_test(confusion),
        cmocka_unit_test(forms),
        cmocka_unit_test(headers),
        cmocka_unit_test(kids),
        cmocka_unit_test(times),
        cmocka_unit_test(parties),
        cmocka_unit_test(weak_keys),
        cmocka_unit_test(hostile_sets),
        cmocka_unit_test(base64)
    };

    rc = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(claims);

    return rc;
}
