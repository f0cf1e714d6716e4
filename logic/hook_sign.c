/*
 * POSTs that the application knows to be ours: by a secret that both have.
 */

#include "hook.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/bus.h"
#include "svc/clock.h"

#define LOGIC_HOOK_SIGN  (2 * EVP_MAX_MD_SIZE + 4)


/* v1=, in hex: of the time, a dot and the body */

static int
logic_hook_sign(const char *secret, const char *time, const char *body,
    size_t len, char *signature)
{
    char      *text;
    size_t     n;
    uint8_t    mac[EVP_MAX_MD_SIZE], *done;
    unsigned   mac_len;

    n = strlen(time);

    text = malloc(n + 1 + len);
    if (text == NULL) {
        return -1;
    }

    memcpy(text, time, n);
    text[n] = '.';
    memcpy(text + n + 1, body, len);

    done = HMAC(EVP_sha256(), secret, (int) strlen(secret),
                (const uint8_t *) text, n + 1 + len, mac, &mac_len);
    free(text);

    if (done == NULL) {
        return -1;
    }

    strcpy(signature, "v1=");
    bus_hex(signature + 3, mac, mac_len);

    return 0;
}


int
logic_hook_signed(logic_hook_t *h, const char *secret, const char *body,
    size_t len, logic_hook_pt cb, void *data)
{
    char         time[24], signature[LOGIC_HOOK_SIGN];
    const char  *header[7];

    snprintf(time, sizeof(time), "%" PRId64, svc_date() / 1000);

    if (logic_hook_sign(secret, time, body, len, signature) != 0) {
        return -1;
    }

    header[0] = "Content-Type";
    header[1] = "application/json";
    header[2] = "X-Goim-Timestamp";
    header[3] = time;
    header[4] = "X-Goim-Signature";
    header[5] = signature;
    header[6] = NULL;

    return logic_hook_post(h, "", header, body, len, cb, data);
}
