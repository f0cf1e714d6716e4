/*
 * Who is in a room, in pages by their keys: as Redis has it, without those of
 * nodes that are gone.
 */

#include "who.h"

#include "online.h"
#include "store.h"

#include "logic/lua/members.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_MEMBERS_PAGE  1000


typedef struct {
    logic_thread_t  *thread;
    http_request_t  *req;
    json_t          *answer;
} logic_members_t;


static int logic_members_eval(logic_members_t *m, const char *room,
    const char *after, int64_t limit);
static void logic_members_got(svc_redis_t *r, redisReply *reply, void *data);
static int logic_members_fits(const redisReply *reply);
static json_t *logic_members_page(logic_thread_t *t, const redisReply *reply);
static void logic_members_sure(int sure, void *data);
static void logic_members_done(logic_members_t *m, const char *failed);


static svc_script_t  logic_members_script = { .body = members_lua };


void
logic_online_members(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    char                key[GOIM_ROOM_MAX + 1];
    int64_t             limit;
    const char         *type, *room;
    const logic_arg_t  *arg;
    logic_members_t    *m;

    if (t->conf->events_set[0] == '\0') {
        logic_http_bad(t, req, "members are not known without [events] url");
        return;
    }

    if (logic_http_room(t, req, q, &type, &room) == 0
        || logic_http_number(t, req, q, "limit", 0, 0, LOGIC_MEMBERS_PAGE,
                             &limit)
           != 0)
    {
        return;
    }

    arg = logic_query_find(q, "after");

    if (arg != NULL && arg->len > GOIM_KEY_MAX) {
        logic_http_bad(t, req, "after: more than %d bytes", GOIM_KEY_MAX);
        return;
    }

    m = calloc(1, sizeof(logic_members_t));
    if (m == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    m->thread = t;
    m->req = req;

    stpcpy(stpcpy(stpcpy(key, type), "://"), room);

    if (!registry_current(t->registry)
        || logic_members_eval(m, key, arg != NULL ? arg->value : "",
                              limit != 0 ? limit : LOGIC_MEMBERS_PAGE)
           != 0)
    {
        logic_members_done(m, "redis is away");
    }
}


static int
logic_members_eval(logic_members_t *m, const char *room, const char *after,
    int64_t limit)
{
    char             key[LOGIC_KEY_BUF], life[24], number[24];
    const char      *argv[6];
    logic_thread_t  *t;

    t = m->thread;

    key[logic_redis_key(t, key, "goim:", "life", 4)] = '\0';
    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(t->redis));
    snprintf(number, sizeof(number), "%" PRId64, limit);

    argv[0] = key;
    argv[1] = life;
    argv[2] = svc_redis_prefix(t->redis);
    argv[3] = room;
    argv[4] = after;
    argv[5] = number;

    return svc_redis_eval(t->redis, &logic_members_script, logic_members_got,
                          m, 1, 6, argv, NULL);
}


static void
logic_members_got(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_members_t  *m = data;

    (void) r;

    if (!logic_members_fits(reply)) {
        logic_redis_said("members of a room", reply);
        logic_members_done(m, "redis did not answer");
        return;
    }

    m->answer = logic_members_page(m->thread, reply);

    if (store_sure(m->thread->store, logic_members_sure, m) != 0) {
        logic_members_done(m, "redis is away");
    }
}


static int
logic_members_fits(const redisReply *reply)
{
    size_t  i;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements < 2 || (reply->elements - 2) % 4 != 0
        || reply->element[0]->type != REDIS_REPLY_INTEGER)
    {
        return 0;
    }

    for (i = 1; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return 0;
        }
    }

    return 1;
}


static json_t *
logic_members_page(logic_thread_t *t, const redisReply *reply)
{
    size_t   i;
    json_t  *members, *one, *next;

    members = json_array();

    for (i = 2; i < reply->elements; i += 4) {
        one = logic_devices_one(t, &reply->element[i]);

        if (one != NULL) {
            json_object_set_new(one, "mid", json_integer(
                                strtoll(reply->element[i + 3]->str, NULL,
                                        10)));
            json_array_append_new(members, one);
        }
    }

    next = reply->element[1]->len == 0 ? NULL
           : json_stringn(reply->element[1]->str, reply->element[1]->len);

    return json_pack("{s:I, s:o, s:o}", "count",
                     (json_int_t) reply->element[0]->integer, "members",
                     members, "next", next != NULL ? next : json_null());
}


/* A room may have members of which Redis does not know, yet. */

static void
logic_members_sure(int sure, void *data)
{
    logic_members_t  *m = data;

    logic_members_done(m, sure == 1 ? NULL
                          : sure == 0 ? "restoring: not all sessions are "
                                        "known yet"
                                      : "redis did not answer");
}


static void
logic_members_done(logic_members_t *m, const char *failed)
{
    if (failed == NULL) {
        logic_http_answer(m->thread, m->req, 200, 0, "", m->answer);

    } else {
        json_decref(m->answer);
        logic_http_failed(m->thread, m->req, failed);
    }

    free(m);
}
