/*
 * Whether a JSON Web Token is good.
 */

#include "jwt.h"

#include "base64url.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_JWT_SIGNATURE  1024       /* bytes: RSA of 8192 bits */
#define LOGIC_JWT_DER        80         /* an ES256 signature as DER, at most */
#define LOGIC_JWT_NEVER      1e15       /* ms: an exp beyond that is none */


/* A token's parts. */
typedef struct {
    const char   *text;         /* what is signed: header "." claims */
    size_t        header_len;
    size_t        text_len;
    uint8_t       signature[LOGIC_BASE64URL_BYTES(LOGIC_JWT_SIGNATURE / 3 * 4
                                                  + 4)];
    size_t        signature_len;

    logic_alg_t   alg;
    const char   *kid;          /* NULL: none */
    json_t       *header;       /* has it */
} logic_jwt_t;


static int logic_jwt_split(logic_jwt_t *t, const char *token, size_t len,
    const char **reason);
static int logic_jwt_head(logic_jwt_t *t, unsigned algs, const char **reason);
static logic_jwt_code_t logic_jwt_signed(const logic_jwt_t *t,
    const logic_jwks_t *keys, const char **reason);
static int logic_jwt_by(const logic_jwt_t *t, const logic_jwk_t *key);
static int logic_jwt_hmac(const logic_jwt_t *t, const logic_jwk_t *key);
static size_t logic_jwt_der(const logic_jwt_t *t, uint8_t *der);
static int logic_jwt_claims(const logic_jwt_rules_t *rules, json_t *claims,
    int64_t now, const char **reason);
static int logic_jwt_audience(const logic_jwt_rules_t *rules, json_t *aud,
    const char **reason);
static int logic_jwt_times(const logic_jwt_rules_t *rules, json_t *claims,
    int64_t now, const char **reason);
static json_t *logic_jwt_json(const char *text, size_t len);
static int logic_jwt_says(json_t *value, const char *text);


logic_jwt_code_t
logic_jwt_verify(const logic_jwt_rules_t *rules, const logic_jwks_t *keys,
    const char *token, size_t len, int64_t now, json_t **claims,
    const char **reason)
{
    logic_jwt_t       t;
    logic_jwt_code_t  code;

    *claims = NULL;
    t.header = NULL;
    code = LOGIC_JWT_DENIED;

    if (logic_jwt_split(&t, token, len, reason) == 0
        && logic_jwt_head(&t, rules->algs, reason) == 0)
    {
        code = logic_jwt_signed(&t, keys, reason);
    }

    json_decref(t.header);

    if (code != LOGIC_JWT_GOOD) {
        return code;
    }

    /* what it says is looked at only now */

    *claims = logic_jwt_json(t.text + t.header_len + 1,
                             t.text_len - t.header_len - 1);

    if (logic_jwt_claims(rules, *claims, now, reason) != 0) {
        json_decref(*claims);
        *claims = NULL;
        return LOGIC_JWT_DENIED;
    }

    return LOGIC_JWT_GOOD;
}


/* ---- its form ---------------------------------------------------------- */

static int
logic_jwt_split(logic_jwt_t *t, const char *token, size_t len,
    const char **reason)
{
    size_t       n;
    ssize_t      rc;
    const char  *first, *second;

    *reason = "the token is not signed in compact form";

    if (len > LOGIC_JWT_MAX) {
        *reason = "the token is too long";
        return -1;
    }

    first = memchr(token, '.', len);
    second = first != NULL
             ? memchr(first + 1, '.', len - (size_t) (first + 1 - token))
             : NULL;

    if (second == NULL) {
        return -1;
    }

    t->text = token;
    t->header_len = (size_t) (first - token);
    t->text_len = (size_t) (second - token);

    n = len - t->text_len - 1;

    if (LOGIC_BASE64URL_BYTES(n) > sizeof(t->signature)) {
        return -1;
    }

    rc = logic_base64url(second + 1, n, t->signature);

    /* a third "." is no character of base64url */

    if (rc <= 0) {
        return -1;
    }

    t->signature_len = (size_t) rc;

    return 0;
}


static int
logic_jwt_head(logic_jwt_t *t, unsigned algs, const char **reason)
{
    int      i;
    json_t  *alg, *kid;

    t->header = logic_jwt_json(t->text, t->header_len);

    if (t->header == NULL) {
        *reason = "the token's header is not a JSON object";
        return -1;
    }

    if (json_object_get(t->header, "crit") != NULL) {
        *reason = "the token demands an extension";
        return -1;
    }

    alg = json_object_get(t->header, "alg");

    for (i = 0; logic_alg_names[i] != NULL; i++) {
        if (logic_jwt_says(alg, logic_alg_names[i])) {
            break;
        }
    }

    if (logic_alg_names[i] == NULL || (algs & 1u << i) == 0) {
        *reason = "the token's algorithm is none of those configured";
        return -1;
    }

    t->alg = (logic_alg_t) i;

    kid = json_object_get(t->header, "kid");

    if (kid != NULL && !json_is_string(kid)) {
        *reason = "the token's kid is not a string";
        return -1;
    }

    t->kid = json_string_value(kid);

    return 0;
}


/* NULL: it is no base64url of an object */

static json_t *
logic_jwt_json(const char *text, size_t len)
{
    json_t   *json;
    ssize_t   n;
    uint8_t  *buf;

    buf = malloc(LOGIC_BASE64URL_BYTES(len));
    if (buf == NULL) {
        return NULL;
    }

    json = NULL;
    n = logic_base64url(text, len, buf);

    if (n > 0) {
        json = json_loadb((char *) buf, (size_t) n, JSON_REJECT_DUPLICATES,
                          NULL);
    }

    free(buf);

    if (json_is_object(json)) {
        return json;
    }

    json_decref(json);

    return NULL;
}


static int
logic_jwt_says(json_t *value, const char *text)
{
    return json_is_string(value)
           && strcmp(json_string_value(value), text) == 0;
}


/* ---- its signature ----------------------------------------------------- */

/*
 * A token that names a key is for the keys of that name; where there is none,
 * and for one that names none, those without a name serve, too, or all.
 */

static logic_jwt_code_t
logic_jwt_signed(const logic_jwt_t *t, const logic_jwks_t *keys,
    const char **reason)
{
    size_t              i;
    unsigned            tried, named;
    const logic_jwk_t  *key;

    named = 0;

    for (i = 0; i < keys->n && t->kid != NULL; i++) {
        named |= keys->key[i]->kid != NULL
                 && strcmp(keys->key[i]->kid, t->kid) == 0;
    }

    tried = 0;

    for (i = 0; i < keys->n; i++) {
        key = keys->key[i];

        if (key->alg != t->alg) {
            continue;
        }

        if (t->kid != NULL
            && (named ? key->kid == NULL || strcmp(key->kid, t->kid) != 0
                      : key->kid != NULL))
        {
            continue;
        }

        if (logic_jwt_by(t, key)) {
            return LOGIC_JWT_GOOD;
        }

        tried = 1;
    }

    if (tried || named) {
        *reason = "the token's signature is wrong";
        return LOGIC_JWT_DENIED;
    }

    *reason = "there is no key for the token";

    return LOGIC_JWT_UNKNOWN;
}


static int
logic_jwt_by(const logic_jwt_t *t, const logic_jwk_t *key)
{
    int             rc;
    size_t          len;
    uint8_t         der[LOGIC_JWT_DER];
    EVP_MD_CTX     *ctx;
    const uint8_t  *signature;

    signature = t->signature;
    len = t->signature_len;

    if (key->alg == LOGIC_HS256) {
        return logic_jwt_hmac(t, key);
    }

    if (key->alg == LOGIC_ES256) {
        len = logic_jwt_der(t, der);
        signature = der;

        if (len == 0) {
            return 0;
        }
    }

    ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        return 0;
    }

    rc = EVP_DigestVerifyInit(ctx, NULL, key->alg == LOGIC_EDDSA
                                         ? NULL : EVP_sha256(),
                              NULL, key->pkey);
    if (rc == 1) {
        rc = EVP_DigestVerify(ctx, signature, len,
                              (const uint8_t *) t->text, t->text_len);
    }

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();

    return rc == 1;
}


static int
logic_jwt_hmac(const logic_jwt_t *t, const logic_jwk_t *key)
{
    uint8_t   mac[EVP_MAX_MD_SIZE];
    unsigned  n;

    if (HMAC(EVP_sha256(), key->secret, (int) key->secret_len,
             (const uint8_t *) t->text, t->text_len, mac, &n)
        == NULL)
    {
        return 0;
    }

    return t->signature_len == n && CRYPTO_memcmp(mac, t->signature, n) == 0;
}


/* r and s, 32 bytes each (RFC 7518, 3.4), as OpenSSL takes them; 0: not that */

static size_t
logic_jwt_der(const logic_jwt_t *t, uint8_t *der)
{
    int         n;
    uint8_t    *p;
    BIGNUM     *r, *s;
    ECDSA_SIG  *sig;

    if (t->signature_len != 64) {
        return 0;
    }

    n = 0;
    sig = ECDSA_SIG_new();
    r = BN_bin2bn(t->signature, 32, NULL);
    s = BN_bin2bn(t->signature + 32, 32, NULL);

    if (sig == NULL || r == NULL || s == NULL
        || ECDSA_SIG_set0(sig, r, s) != 1)
    {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return 0;
    }

    if (i2d_ECDSA_SIG(sig, NULL) <= LOGIC_JWT_DER) {
        p = der;
        n = i2d_ECDSA_SIG(sig, &p);
    }

    ECDSA_SIG_free(sig);

    return n > 0 ? (size_t) n : 0;
}


/* ---- whom it is from and for, and when --------------------------------- */

static int
logic_jwt_claims(const logic_jwt_rules_t *rules, json_t *claims, int64_t now,
    const char **reason)
{
    if (claims == NULL) {
        *reason = "the token's claims are not a JSON object";
        return -1;
    }

    if (rules->issuer[0] != '\0'
        && !logic_jwt_says(json_object_get(claims, "iss"), rules->issuer))
    {
        *reason = "the token is from another issuer";
        return -1;
    }

    if (logic_jwt_audience(rules, json_object_get(claims, "aud"), reason)
        != 0)
    {
        return -1;
    }

    return logic_jwt_times(rules, claims, now, reason);
}


/* RFC 7519, 4.1.3: who is not in it must refuse it */

static int
logic_jwt_audience(const logic_jwt_rules_t *rules, json_t *aud,
    const char **reason)
{
    size_t   i;
    json_t  *item;

    if (aud == NULL && rules->audience[0] == '\0') {
        return 0;
    }

    *reason = "the token is for another audience";

    if (rules->audience[0] == '\0') {
        *reason = "the token is for an audience, and none is configured";
        return -1;
    }

    if (logic_jwt_says(aud, rules->audience)) {
        return 0;
    }

    json_array_foreach(aud, i, item) {
        if (logic_jwt_says(item, rules->audience)) {
            return 0;
        }
    }

    return -1;
}


static int
logic_jwt_times(const logic_jwt_rules_t *rules, json_t *claims, int64_t now,
    const char **reason)
{
    double   seconds, leeway;
    json_t  *exp, *nbf;

    exp = json_object_get(claims, "exp");
    nbf = json_object_get(claims, "nbf");

    if ((exp != NULL && !json_is_number(exp))
        || (nbf != NULL && !json_is_number(nbf)))
    {
        *reason = "the token's exp or nbf is not a number";
        return -1;
    }

    seconds = (double) now / 1000;
    leeway = (double) rules->leeway / 1000;

    if (exp != NULL && seconds >= json_number_value(exp) + leeway) {
        *reason = "the token has expired";
        return -1;
    }

    if (nbf != NULL && seconds + leeway < json_number_value(nbf)) {
        *reason = "the token is not valid yet";
        return -1;
    }

    return 0;
}


int64_t
logic_jwt_end(const logic_jwt_rules_t *rules, json_t *claims)
{
    double   end;
    json_t  *exp;

    exp = json_object_get(claims, "exp");

    if (exp == NULL) {
        return 0;
    }

    end = json_number_value(exp) * 1000 + (double) rules->leeway;

    return end < LOGIC_JWT_NEVER ? (int64_t) end : 0;
}
