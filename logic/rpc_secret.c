/*
 * The secret that nodes show in their Hello ([rpc] secret_file): one, or two
 * while it is being changed.
 */

#include "rpc_secret.h"

#include "common/goim_limits.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <stdio.h>
#include <string.h>


static int logic_rpc_secret_is(const char *text, size_t text_len,
    const uint8_t *secret, size_t len);


int
logic_rpc_secret_check(const logic_conf_t *lcf, char *err, size_t size)
{
    size_t       i, len, n;
    const char  *p;

    if (lcf->rpc_secret[0] == '\0') {

        if (svc_listen_local(lcf->rpc) || lcf->rpc_open) {
            return 0;
        }

        snprintf(err, size, "[logic] rpc = \"%.128s\" is not loopback: set "
                 "[rpc] secret_file, or [rpc] open = on if nobody else reaches "
                 "it", lcf->rpc);
        return -1;
    }

    n = 0;

    for (p = lcf->rpc_secret; *p != '\0'; p += len, p += strspn(p, "\r\n")) {
        len = strcspn(p, "\r\n");

        for (i = 0; i < len; i++) {
            if (p[i] <= ' ' || p[i] >= 0x7f) {
                break;
            }
        }

        if (i < len || len < GOIM_SECRET_MIN || len > GOIM_SECRET_MAX
            || ++n > 2)
        {
            snprintf(err, size, "[rpc] secret_file does not hold one or two "
                     "lines of %d to %d visible characters of ASCII",
                     GOIM_SECRET_MIN, GOIM_SECRET_MAX);
            return -1;
        }
    }

    return 0;
}


const char *
logic_rpc_secret_wrong(const logic_conf_t *lcf, const uint8_t *secret,
    size_t len)
{
    int          good;
    size_t       n;
    const char  *p;

    if (lcf->rpc_secret[0] == '\0' || (len == 0 && lcf->rpc_open)) {
        return NULL;
    }

    if (len == 0) {
        return "a secret is needed: logic ... secret_file=";
    }

    good = 0;

    for (p = lcf->rpc_secret; *p != '\0'; p += n, p += strspn(p, "\r\n")) {
        n = strcspn(p, "\r\n");
        good |= logic_rpc_secret_is(p, n, secret, len);
    }

    return good ? NULL : "the secret is another";
}


/* The time says nothing of how near a guess was. */

static int
logic_rpc_secret_is(const char *text, size_t text_len, const uint8_t *secret,
    size_t len)
{
    uint8_t  a[SHA256_DIGEST_LENGTH], b[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *) text, text_len, a);
    SHA256(secret, len, b);

    return CRYPTO_memcmp(a, b, sizeof(a)) == 0;
}
