/* LINK: logic/token.c common/goim_json.c */

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
parse(const uint8_t *data, size_t size, int limited)
{
    logic_who_t   who;
    const char   *reason;

    reason = NULL;

    if (logic_token_parse(data, size, limited, &who, &reason) != 0) {
        if (reason == NULL) {
            abort();
        }

        return;
    }

    if (who.key_len > GOIM_KEY_MAX || strlen(who.key) != who.key_len
        || who.naccepts > GOIM_ACCEPTS_MAX || who.nrooms > GOIM_ROOMS_MAX
        || (who.nrooms > 0 && !limited))
    {
        abort();
    }
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

    json_decref(json);

    parse((uint8_t *) copy, size, 0);
    parse((uint8_t *) copy, size, 1);
    free(copy);

    return 0;
}
