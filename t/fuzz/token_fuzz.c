/* LINK: logic/token.c logic/grants.c common/goim_json.c */

/*
 * Tokens of clients and answers of the application. Whatever jansson takes,
 * the scanner takes as the same kind (a NUL, which jansson takes for the end,
 * aside); each member is a whole value.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_json.h"
#include "logic/token.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static int
member(const char *name, size_t name_len, const char *value, size_t len,
    void *data)
{
    (void) data;

    if (name[-1] != '"' || name[name_len] != '"'
        || goim_json_scan(value, len, member, NULL) == GOIM_JSON_BAD)
    {
        abort();
    }

    return 0;
}


static void
judge(int rc, const logic_who_t *who, const char *reason, int limited)
{
    if (rc != 0) {
        if (reason == NULL) {
            abort();
        }

        return;
    }

    if (who->key_len > GOIM_KEY_MAX || strlen(who->key) != who->key_len
        || who->naccepts > GOIM_ACCEPTS_MAX
        || who->may.nrooms > GOIM_ROOMS_MAX
        || who->may.nops > 2 * GOIM_OPS_MAX
        || (who->may.nrooms + who->may.nops > 0 && !limited)
        || (unsigned) limited != who->may.rooms_limited)
    {
        abort();
    }
}


/* The text as each of what it may be; and as claims, which bound it as a
 * packet. */

static void
parse(const void *data, size_t size, json_t *claims)
{
    int              rc;
    logic_who_t      who;
    const char      *reason;
    logic_packet_t   packet;

    reason = NULL;
    judge(logic_token_parse(data, size, &who, &reason), &who, reason, 0);

    reason = NULL;
    judge(logic_token_answer(data, size, &who, &reason), &who, reason, 1);

    reason = NULL;
    rc = logic_token_packet(data, size, &packet, &reason);
    judge(rc, &packet.who, reason, 0);

    if (rc == 0 && json_is_object(claims)) {
        reason = NULL;
        rc = logic_token_claims(claims, &who, &reason);
        judge(rc, &who, reason, 1);

        if (rc == 0) {
            rc = logic_token_bound(&who, &packet, &reason);
            judge(rc, &who, reason, 1);
        }
    }

    free(packet.token);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char         *copy;
    json_t       *json;
    goim_json_t   what;

    /* no byte behind it may be read */

    copy = malloc(size);
    if (copy == NULL) {
        return 0;
    }

    memcpy(copy, data, size);

    what = goim_json_scan(copy, size, member, NULL);
    json = json_loadb(copy, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    if (json != NULL && memchr(copy, '\0', size) == NULL
        && what != (json_is_object(json) ? GOIM_JSON_OBJECT
                    : json_is_null(json) ? GOIM_JSON_NULL
                    : GOIM_JSON_OTHER))
    {
        abort();
    }

    parse(copy, size, json);
    json_decref(json);
    free(copy);

    return 0;
}
