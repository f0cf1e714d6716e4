/*
 * Events as the application gets them, in JSON.
 */

#include "events.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>


static json_t *logic_event_one(const redisReply *entry);
static void logic_event_field(json_t *event, const char *name,
    const redisReply *value);
static void logic_event_zone(json_t *event, const redisReply *zone);
static void logic_event_why(json_t *event, const redisReply *why);
static void logic_event_session(json_t *event, const redisReply *session);
static void logic_event_mids(json_t *event, const redisReply *value);
static void logic_event_set(json_t *event, const char *name,
    const redisReply *value);


char *
logic_events_body(const redisReply *entries, int64_t dropped, size_t *len)
{
    char    *text;
    size_t   i;
    json_t  *body, *events, *one;

    events = json_array();

    for (i = 0; i < entries->elements; i++) {
        one = logic_event_one(entries->element[i]);

        if (one != NULL) {
            json_array_append_new(events, one);
        }
    }

    body = json_pack("{s:I, s:o}", "dropped", (json_int_t) dropped, "events",
                     events);
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);

    *len = text != NULL ? strlen(text) : 0;

    return text;
}


/* id, [field, value, ...] */

static json_t *
logic_event_one(const redisReply *entry)
{
    size_t       i;
    json_t      *event;
    redisReply  *fields;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[0]->type != REDIS_REPLY_STRING
        || entry->element[1]->type != REDIS_REPLY_ARRAY)
    {
        return NULL;
    }

    event = json_object();
    logic_event_set(event, "id", entry->element[0]);
    fields = entry->element[1];

    for (i = 0; i + 1 < fields->elements; i += 2) {

        if (fields->element[i]->type == REDIS_REPLY_STRING
            && fields->element[i + 1]->type == REDIS_REPLY_STRING)
        {
            logic_event_field(event, fields->element[i]->str,
                              fields->element[i + 1]);
        }
    }

    return event;
}


static void
logic_event_field(json_t *event, const char *name, const redisReply *value)
{
    if (strcmp(name, "zone") == 0) {
        logic_event_zone(event, value);

    } else if (strcmp(name, "session") == 0) {
        logic_event_session(event, value);

    } else if (strcmp(name, "why") == 0) {
        logic_event_why(event, value);

    } else if (strcmp(name, "at") == 0 || strcmp(name, "mid") == 0
               || strcmp(name, "operation") == 0 || strcmp(name, "bytes") == 0)
    {
        json_object_set_new(event, name,
                            json_integer(strtoll(value->str, NULL, 10)));

    } else if (strcmp(name, "mids") == 0) {
        logic_event_mids(event, value);

    } else if (strcmp(name, "message_id") != 0 || value->len > 0) {
        logic_event_set(event, name, value);
    }
}


/* a list in JSON, or empty: the message is for a room */

static void
logic_event_mids(json_t *event, const redisReply *value)
{
    json_t  *mids;

    mids = value->len > 0 ? json_loadb(value->str, value->len, 0, NULL) : NULL;

    if (mids != NULL) {
        json_object_set_new(event, "mids", mids);
    }
}


/* <server>/<zone>; a server_id may hold slashes. The session, which comes
 * behind it, is a number of the zone. */

static void
logic_event_zone(json_t *event, const redisReply *zone)
{
    char  *p;

    p = strrchr(zone->str, '/');

    if (p != NULL) {
        json_object_set_new(event, "server",
                            json_stringn(zone->str, (size_t) (p - zone->str)));
        json_object_set_new(event, "session", json_string(p + 1));
    }
}


static void
logic_event_session(json_t *event, const redisReply *session)
{
    const char  *zone;

    zone = json_string_value(json_object_get(event, "session"));

    if (zone != NULL) {
        json_object_set_new(event, "session",
                            json_sprintf("%s/%.20s", zone, session->str));
    }
}


static void
logic_event_why(json_t *event, const redisReply *why)
{
    if (strcmp(why->str, "restored") == 0) {
        json_object_set_new(event, "restored", json_true());

    } else if (why->len > 0) {
        logic_event_set(event, "reason", why);
    }
}


static void
logic_event_set(json_t *event, const char *name, const redisReply *value)
{
    json_t  *text;

    text = json_stringn(value->str, value->len);
    json_object_set_new(event, name, text != NULL ? text : json_null());
}
