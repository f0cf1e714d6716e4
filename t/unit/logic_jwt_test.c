/* LINK: logic/jwt.c logic/jwt_sign.c logic/jwk.c logic/base64url.c t/unit/test_jwt.c */

/*
 * Tokens and keys: the examples of RFC 7515, 7517, 7519 and 8037, and what
 * somebody may try who has no key.
 */

#include "test_jwt.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

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


/* ---- algorithms ---- */

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


/* when what is good now is no longer */

static int64_t
ends(const logic_jwks_t *keys, const char *payload)
{
    assert_int_equal(verify(keys, hs256(HEAD("HS256"), payload)),
                     LOGIC_JWT_GOOD);

    return logic_jwt_end(&rules, claims);
}


static void
end_of_it(void **state)
{
    logic_jwks_t  *keys;

    (void) state;
    keys = secret_set();
    now = 1000;

    assert_int_equal(ends(keys, "{}"), 0);
    assert_int_equal(ends(keys, "{\"exp\":1001}"), 1001000);
    assert_int_equal(ends(keys, "{\"exp\":1000.5}"), 1000500);
    assert_int_equal(ends(keys, "{\"exp\":1e300}"), 0);
    assert_int_equal(ends(keys, "{\"exp\":4e9}"), 4000000000000);

    rules.leeway = 5000;
    assert_int_equal(ends(keys, "{\"exp\":996}"), 1001000);
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


/* ---- tokens of one's own ---- */

static void
signs(const char *text, const logic_jwks_t *set)
{
    int           i;
    char         *token;
    logic_jwk_t  *key;

    key = logic_jwk_private(text, strlen(text), err, sizeof(err));
    assert_non_null(key);

    /* often enough for a number of ES256 that begins with a zero byte */

    for (i = 0; i < (key->alg == LOGIC_RS256 ? 3 : 1000); i++) {
        json_t  *said = json_pack("{s:i, s:s}", "n", i, "text", "\xc3\xa4");

        token = logic_jwt_sign(key, said);
        assert_non_null(token);
        assert_int_equal(verify(set, token), LOGIC_JWT_GOOD);
        assert_true(json_equal(said, claims));

        token[strlen(token) - 3] ^= 1;
        assert_int_not_equal(verify(set, token), LOGIC_JWT_GOOD);

        free(token);
        json_decref(said);
    }

    logic_jwk_free(key);
}


static void
signed_here(void **state)
{
    int            i;
    char          *text, *private;
    EVP_PKEY      *pkey;
    logic_jwks_t  *set;

    (void) state;

    for (i = 0; i < 3; i++) {
        pkey = i == 0 ? EVP_RSA_gen(2048) : i == 1 ? EVP_EC_gen("P-256")
               : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        set = logic_jwks_new();
        text = pem(pkey, 0);
        private = pem(pkey, 1);

        assert_int_equal(logic_jwks_pem(set, ALL, text, strlen(text), err,
                                        sizeof(err)), 0);
        signs(private, set);
        assert_null(logic_jwk_private(text, strlen(text), err, sizeof(err)));
        assert_string_equal(err, "no private key in PEM without a password");

        free(text);
        free(private);
        logic_jwks_unref(set);
        EVP_PKEY_free(pkey);
    }

    set = secret_set();
    signs(SECRET, set);
    logic_jwks_unref(set);

    assert_null(logic_jwk_private("short", 5, err, sizeof(err)));
    assert_string_equal(err, "a secret of 5 bytes, 32 are needed");
}


int
main(void)
{
    int  rc;

    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(rfc_signatures),
        cmocka_unit_test(rfc_eddsa),
        cmocka_unit_test(rfc_none),
        cmocka_unit_test(every_algorithm),
        cmocka_unit_test(confusion),
        cmocka_unit_test(forms),
        cmocka_unit_test(headers),
        cmocka_unit_test(kids),
        cmocka_unit_test(times),
        cmocka_unit_test(end_of_it),
        cmocka_unit_test(parties),
        cmocka_unit_test(signed_here)
    };

    rc = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(claims);

    return rc;
}
