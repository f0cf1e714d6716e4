/*
 * What a client may do.
 */

#include "grants.h"

#include <stdio.h>
#include <string.h>


static int logic_grants_burst(json_t *value, int64_t *burst);
static int logic_grants_range(const char *text, int32_t *range);


int
logic_room_like(const char *pattern, size_t n, const char *room, size_t len)
{
    if (pattern[n - 1] == '*') {
        return len >= n - 1 && memcmp(pattern, room, n - 1) == 0;
    }

    return len == n && memcmp(pattern, room, n) == 0;
}


int
logic_grants_rooms(logic_grants_t *may, json_t *list)
{
    size_t   i;
    json_t  *item;

    if (!json_is_array(list)) {
        return -1;
    }

    may->nrooms = 0;

    json_array_foreach(list, i, item) {

        /* the length is 0 of what is empty, or no string */

        if (logic_grants_add_room(may, json_string_value(item),
                                  json_string_length(item))
            != 0)
        {
            return -1;
        }
    }

    return 0;
}


int
logic_grants_add_room(logic_grants_t *may, const char *room, size_t len)
{
    size_t  i, used;

    used = 0;

    for (i = 0; i < may->nrooms; i++) {
        used += may->rooms_len[i];
    }

    if (len == 0 || len > GOIM_ROOM_MAX || len > GOIM_ROOMS_BYTES - used
        || may->nrooms == GOIM_ROOMS_MAX)
    {
        return -1;
    }

    memcpy(may->rooms + used, room, len);
    may->rooms_len[may->nrooms++] = len;

    return 0;
}


int
logic_grants_ops(logic_grants_t *may, json_t *list)
{
    size_t       i;
    json_t      *item;
    json_int_t   n;

    if (!json_is_array(list) || json_array_size(list) > GOIM_OPS_MAX) {
        return -1;
    }

    may->nops = 0;
    may->ops_limited = 1;

    json_array_foreach(list, i, item) {
        n = json_integer_value(item);

        if (json_is_integer(item) && n >= INT32_MIN && n <= INT32_MAX) {
            may->ops[may->nops] = (int32_t) n;
            may->ops[may->nops + 1] = (int32_t) n;

        } else if (!json_is_string(item)
                   || logic_grants_range(json_string_value(item),
                                         may->ops + may->nops)
                      != 0)
        {
            return -1;
        }

        may->nops += 2;
    }

    return 0;
}


/* "1000-1999": digits only, so that there is one way to read it */

static int
logic_grants_range(const char *text, int32_t *range)
{
    int        i;
    int64_t    n;
    size_t     len;

    for (i = 0; i < 2; i++) {
        len = strspn(text, "0123456789");

        if (len == 0 || len > 10) {
            return -1;
        }

        for (n = 0; len > 0; len--) {
            n = n * 10 + (*text++ - '0');
        }

        if (n > INT32_MAX || *text != (i == 0 ? '-' : '\0')) {
            return -1;
        }

        range[i] = (int32_t) n;
        text += i == 0;
    }

    return range[0] <= range[1] ? 0 : -1;
}


int
logic_grants_send(logic_sends_t *sends, json_t *value)
{
    json_t  *rooms, *ops, *mids;

    memset(sends, 0, sizeof(*sends));

    if (!json_is_object(value)) {
        return -1;
    }

    rooms = json_object_get(value, "rooms");
    ops = json_object_get(value, "ops");
    mids = json_object_get(value, "mids");

    if ((rooms != NULL && logic_grants_rooms(&sends->to, rooms) != 0)
        || (ops != NULL && logic_grants_ops(&sends->to, ops) != 0)
        || (mids != NULL && !json_is_boolean(mids)))
    {
        return -1;
    }

    sends->to.rooms_limited = 1;
    sends->mids = json_is_true(mids);
    sends->any = sends->to.nrooms > 0 || sends->mids;

    if (!sends->to.ops_limited) {
        sends->to.ops_limited = 1;
        sends->to.ops[0] = LOGIC_SEND_FROM;
        sends->to.ops[1] = INT32_MAX;
        sends->to.nops = 2;
    }

    return 0;
}


int
logic_rate_valid(double rate)
{
    return rate == 0 || (rate >= 1.0 / 3600 && rate <= LOGIC_RATE_MAX);
}


int
logic_grants_limits(logic_limits_t *limits, json_t *value)
{
    memset(limits, 0, sizeof(*limits));

    if (!json_is_object(value)
        || logic_grants_burst(json_object_get(value, "burst"),
                              &limits->burst) != 0
        || logic_grants_burst(json_object_get(value, "mid_burst"),
                              &limits->mid_burst) != 0)
    {
        return -1;
    }

    limits->rate = json_number_value(json_object_get(value, "rate"));
    limits->mid_rate = json_number_value(json_object_get(value, "mid_rate"));
    limits->has_rate = json_is_number(json_object_get(value, "rate"));
    limits->has_mid_rate = json_is_number(json_object_get(value, "mid_rate"));

    /* a name that is there holds a number */

    return logic_rate_valid(limits->rate) && logic_rate_valid(limits->mid_rate)
           && limits->has_rate == (json_object_get(value, "rate") != NULL)
           && limits->has_mid_rate
              == (json_object_get(value, "mid_rate") != NULL)
           ? 0 : -1;
}


static int
logic_grants_burst(json_t *value, int64_t *burst)
{
    if (value == NULL) {
        return 0;
    }

    *burst = json_integer_value(value);

    return json_is_integer(value) && *burst >= 1 && *burst <= LOGIC_BURST_MAX
           ? 0 : -1;
}


int
logic_grants_add_op(logic_grants_t *may, int32_t op)
{
    if (logic_grants_has_op(may, op)) {
        return 0;
    }

    if (may->nops == 2 * GOIM_OPS_MAX) {
        return -1;
    }

    may->ops[may->nops++] = op;
    may->ops[may->nops++] = op;

    return 0;
}


int
logic_grants_has_room(const logic_grants_t *may, const char *room, size_t len)
{
    size_t       i, n;
    const char  *name;

    if (!may->rooms_limited) {
        return 1;
    }

    name = may->rooms;

    for (i = 0; i < may->nrooms; i++) {
        n = may->rooms_len[i];

        if (logic_room_like(name, n, room, len)) {
            return 1;
        }

        name += n;
    }

    return 0;
}


int
logic_grants_has_op(const logic_grants_t *may, int32_t op)
{
    size_t  i;

    for (i = 0; i < may->nops; i += 2) {
        if (op >= may->ops[i] && op <= may->ops[i + 1]) {
            return 1;
        }
    }

    return !may->ops_limited;
}
