/*
 * Who a client is.
 */

#include "token.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>


static int logic_token_field(logic_who_t *who, const char *name,
    json_t *value, const char **reason);
static int logic_token_string(json_t *value, char *buf, size_t size,
    size_t *len);
static int logic_token_accepts(json_t *value, logic_who_t *who);
static int logic_token_rooms(json_t *value, logic_who_t *who);


int
logic_token_parse(const void *data, size_t len, int limited,
    logic_who_t *who, const char **reason)
{
    int            rc;
    json_t        *root, *value;
    const char    *name;
    json_error_t   error;

    memset(who, 0, sizeof(*who));
    who->limited = limited != 0;

    root = json_loadb(data, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

    if (root == NULL) {
        *reason = "not JSON";
        return -1;
    }

    rc = 0;

    if (json_is_object(root)) {
        json_object_foreach(root, name, value) {
            rc = logic_token_field(who, name, value, reason);

            if (rc != 0) {
                break;
            }
        }

    } else if (!json_is_null(root)) {
        *reason = "not a JSON object";
        rc = -1;
    }

    json_decref(root);

    if (rc == 0 && !logic_room_valid(who->room, who->room_len)) {
        *reason = "room_id is not type://id";
        rc = -1;
    }

    return rc;
}


static int
logic_token_field(logic_who_t *who, const char *name, json_t *value,
    const char **reason)
{
    if (json_is_null(value)) {
        return 0;
    }

    if (strcasecmp(name, "mid") == 0) {
        *reason = "mid is not an integer";
        who->mid = json_integer_value(value);

        return json_is_integer(value) ? 0 : -1;
    }

    if (strcasecmp(name, "key") == 0) {
        *reason = "key is not a string of at most 256 bytes";

        return logic_token_string(value, who->key, sizeof(who->key),
                                  &who->key_len);
    }

    if (strcasecmp(name, "room_id") == 0) {
        *reason = "room_id is not a string of at most 256 bytes";

        return logic_token_string(value, who->room, sizeof(who->room),
                                  &who->room_len);
    }

    if (strcasecmp(name, "accepts") == 0) {
        *reason = "accepts is not a list of at most 128 operations";

        return logic_token_accepts(value, who);
    }

    if (who->limited && strcasecmp(name, "rooms") == 0) {
        *reason = "rooms is not a list of at most 64 names, 4096 bytes";

        return logic_token_rooms(value, who);
    }

    if (strcasecmp(name, "platform") == 0) {
        *reason = "platform is not a string";

        return json_is_string(value) ? 0 : -1;
    }

    return 0;
}


static int
logic_token_string(json_t *value, char *buf, size_t size, size_t *len)
{
    size_t       n;
    const char  *s;

    if (!json_is_string(value)) {
        return -1;
    }

    s = json_string_value(value);
    n = json_string_length(value);

    if (n >= size || memchr(s, '\0', n) != NULL) {
        return -1;
    }

    memcpy(buf, s, n);
    buf[n] = '\0';
    *len = n;

    return 0;
}


static int
logic_token_accepts(json_t *value, logic_who_t *who)
{
    size_t      i;
    json_t     *item;
    json_int_t  n;

    if (!json_is_array(value) || json_array_size(value) > GOIM_ACCEPTS_MAX) {
        return -1;
    }

    who->naccepts = 0;

    json_array_foreach(value, i, item) {
        n = json_integer_value(item);

        /* null in a list of Go leaves a zero */

        if ((!json_is_integer(item) && !json_is_null(item))
            || n < INT32_MIN || n > INT32_MAX)
        {
            return -1;
        }

        who->accepts[who->naccepts++] = (int32_t) n;
    }

    return 0;
}


static int
logic_token_rooms(json_t *value, logic_who_t *who)
{
    size_t   i, n, used;
    json_t  *item;

    if (!json_is_array(value) || json_array_size(value) > GOIM_ROOMS_MAX) {
        return -1;
    }

    used = 0;
    who->nrooms = 0;

    json_array_foreach(value, i, item) {
        n = json_string_length(item);       /* 0: empty, or no string */

        if (n == 0 || n > GOIM_ROOM_MAX || n > GOIM_ROOMS_BYTES - used) {
            return -1;
        }

        memcpy(who->rooms + used, json_string_value(item), n);
        who->rooms_len[who->nrooms++] = n;
        used += n;
    }

    return 0;
}


int
logic_room_valid(const char *room, size_t len)
{
    const char  *sep;

    if (len == 0) {
        return 1;
    }

    sep = memmem(room, len, "://", 3);

    return sep != NULL && sep > room && sep + 3 < room + len;
}


int
logic_key_make(logic_who_t *who)
{
    uint8_t  b[16];

    if (getrandom(b, sizeof(b), 0) != (ssize_t) sizeof(b)) {
        return -1;
    }

    b[6] = (uint8_t) (0x40 | (b[6] & 0x0f));
    b[8] = (uint8_t) (0x80 | (b[8] & 0x3f));

    who->key_len = (size_t) snprintf(who->key, sizeof(who->key),
        "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
        "%02x%02x%02x%02x%02x%02x",
        b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
        b[11], b[12], b[13], b[14], b[15]);

    return 0;
}
