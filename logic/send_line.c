/*
 * The first line of what a client sends.
 */

#include "send_line.h"

#include <jansson.h>
#include <string.h>

#include "common/goim_packet.h"
#include "token.h"


static const char *logic_send_object(json_t *json, logic_send_line_t *line);
static const char *logic_send_room(json_t *value, logic_send_line_t *line);
static const char *logic_send_mids(json_t *value, logic_send_line_t *line);
static const char *logic_send_operation(json_t *value,
    logic_send_line_t *line);
static const char *logic_send_id(json_t *value, logic_send_line_t *line);


int
logic_send_line(const void *data, size_t len, logic_send_line_t *line,
    const char **reason)
{
    size_t       n;
    json_t      *json;
    const char  *end;

    memset(line, 0, sizeof(*line));

    end = len > 0 ? memchr(data, '\n', len) : NULL;

    if (end == NULL) {
        *reason = "there is no first line";
        return -1;
    }

    n = (size_t) (end - (const char *) data);

    if (n > LOGIC_SEND_LINE) {
        *reason = "the first line has more than 4096 bytes";
        return -1;
    }

    line->payload = end + 1;
    line->len = len - n - 1;

    json = json_loadb(data, n, JSON_REJECT_DUPLICATES, NULL);

    *reason = json_is_object(json) ? logic_send_object(json, line)
                                   : "the first line is no JSON object";
    json_decref(json);

    return *reason == NULL ? 0 : -1;
}


static const char *
logic_send_object(json_t *json, logic_send_line_t *line)
{
    json_t      *to, *mids, *id;
    const char  *reason;

    to = json_object_get(json, "to");
    mids = json_object_get(json, "mids");
    id = json_object_get(json, "id");

    if ((to == NULL) == (mids == NULL)) {
        return "neither \"to\" nor \"mids\" alone";
    }

    reason = to != NULL ? logic_send_room(to, line)
                        : logic_send_mids(mids, line);

    if (reason == NULL) {
        reason = logic_send_operation(json_object_get(json, "operation"),
                                      line);
    }

    if (reason == NULL && id != NULL) {
        reason = to != NULL ? logic_send_id(id, line)
                            : "\"id\" is for rooms";
    }

    return reason;
}


static const char *
logic_send_room(json_t *value, logic_send_line_t *line)
{
    size_t       len;
    const char  *room;

    static const char  own[] = GOIM_ROOM_OWN "://";

    room = json_string_value(value);
    len = json_string_length(value);

    /* jansson takes no NUL in a string */

    if (room == NULL || len == 0 || len > GOIM_ROOM_MAX
        || !logic_room_valid(room, len))
    {
        return "\"to\" is no room, type://id of at most 256 bytes";
    }

    if (strncmp(room, own, sizeof(own) - 1) == 0) {
        return "rooms of type \"" GOIM_ROOM_OWN "\" are not for applications";
    }

    memcpy(line->room, room, len + 1);
    line->room_len = len;

    return NULL;
}


static const char *
logic_send_mids(json_t *value, logic_send_line_t *line)
{
    size_t   i;
    json_t  *item;

    static const char  wrong[] = "\"mids\" is no list of 1 to 100 users, "
                                 "numbers over 0";

    if (!json_is_array(value) || json_array_size(value) == 0
        || json_array_size(value) > LOGIC_SEND_MIDS)
    {
        return wrong;
    }

    json_array_foreach(value, i, item) {

        if (!json_is_integer(item) || json_integer_value(item) <= 0) {
            return wrong;
        }

        line->mids[line->nmids++] = json_integer_value(item);
    }

    return NULL;
}


/* What goim's packets mean to each other is not for clients to say: over TCP
   a push comes as the packet that it is. */

static const char *
logic_send_operation(json_t *value, logic_send_line_t *line)
{
    json_int_t  n;

    n = json_integer_value(value);

    if (!json_is_integer(value) || n < INT32_MIN || n > INT32_MAX
        || (n >= 0 && n <= GOIM_OP_POSITION))
    {
        return "\"operation\" is no number of 32 bits, or one of 0 to 23, "
               "which are the protocol's";
    }

    line->operation = (int32_t) n;

    return NULL;
}


static const char *
logic_send_id(json_t *value, logic_send_line_t *line)
{
    const char  *id;

    id = json_string_value(value);

    if (id == NULL || !history_id(id)) {
        return "\"id\" has not 1 to 64 visible characters of ASCII";
    }

    strcpy(line->id, id);

    return NULL;
}
