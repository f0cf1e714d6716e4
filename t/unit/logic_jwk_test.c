/* LINK: logic/jwt.c logic/jwk.c logic/base64url.c t/unit/test_jwt.c */

/*
 * Sets of keys: the examples of RFC 7515 and 7517, and hostile ones.
 */

#include "test_jwt.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "logic/base64url.h"

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
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(rfc_sets),
        cmocka_unit_test(weak_keys),
        cmocka_unit_test(hostile_sets),
        cmocka_unit_test(base64)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
