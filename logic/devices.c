/*
 * The sessions of some users: which keys, on which nodes, since when. As they
 * stand in Redis, without those of nodes that are gone. Who has none is only
 * said to have none when Redis knows all sessions.
 */

#include "online.h"

#include "kick.h"
#include "store.h"

#include "logic/lua/devices.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_DEVICES_MIDS  100         /* a request */
#define LOGIC_DEVICES_KEYS  "1000"      /* a user */


typedef struct {
    logic_thread_t  *thread;
    http_request_t  *req;
    json_t          *answer;
    size_t           n;
    int64_t          mids[LOGIC_DEVICES_MIDS];
} logic_devices_t;


static int logic_devices_eval(logic_devices_t *d);
static void logic_devices_got(svc_redis_t *r, redisReply *reply, void *data);
static int logic_devices_fits(const logic_devices_t *d,
    const redisReply *reply);
static json_t *logic_devices_user(logic_devices_t *d, int64_t mid,
    const redisReply *list);
static int logic_devices_zone(logic_thread_t *t, const char *server,
    const char *zone);
static void logic_devices_sure(int sure, void *data);
static void logic_devices_done(logic_devices_t *d, const char *failed);


static svc_script_t  logic_devices_script = { .body = devices_lua };


void
logic_online_mids(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    size_t            i, n;
    logic_devices_t  *d;

    n = logic_query_count(q, "mids");

    if (n == 0 || n > LOGIC_DEVICES_MIDS) {
        logic_http_bad(t, req, "mids: 1 to %d are needed", LOGIC_DEVICES_MIDS);
        return;
    }

    d = calloc(1, sizeof(logic_devices_t));
    if (d == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    d->thread = t;
    d->req = req;

    for (i = 0; i < q->nargs; i++) {

        if (strcmp(q->args[i].name, "mids") != 0) {
            continue;
        }

        if (logic_query_number(&q->args[i], 1, INT64_MAX, &d->mids[d->n])
            != 0)
        {
            logic_http_bad(t, req, "mids: not a number from 1 to 2^63 - 1");
            free(d);
            return;
        }

        d->n++;
    }

    if (!registry_current(t->registry) || logic_devices_eval(d) != 0) {
        logic_devices_done(d, "redis is away");
    }
}


static int
logic_devices_eval(logic_devices_t *d)
{
    char         number[LOGIC_DEVICES_MIDS][24];
    size_t       i;
    const char  *argv[2 + LOGIC_DEVICES_MIDS];

    argv[0] = svc_redis_prefix(d->thread->redis);
    argv[1] = LOGIC_DEVICES_KEYS;

    for (i = 0; i < d->n; i++) {
        snprintf(number[i], sizeof(number[i]), "%" PRId64, d->mids[i]);
        argv[2 + i] = number[i];
    }

    return svc_redis_eval(d->thread->redis, &logic_devices_script,
                          logic_devices_got, d, 0, (int) (2 + d->n), argv,
                          NULL);
}


static void
logic_devices_got(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_devices_t  *d = data;

    int      none;
    size_t   i;
    json_t  *user;

    (void) r;

    if (!logic_devices_fits(d, reply)) {
        logic_redis_said("sessions of users", reply);
        logic_devices_done(d, "redis did not answer");
        return;
    }

    d->answer = json_array();
    none = 0;

    for (i = 0; i < d->n; i++) {
        user = logic_devices_user(d, d->mids[i], reply->element[i]);
        none |= json_array_size(json_object_get(user, "devices")) == 0;
        json_array_append_new(d->answer, user);
    }

    if (!none) {
        logic_devices_done(d, NULL);

    } else if (store_sure(d->thread->store, logic_devices_sure, d) != 0) {
        logic_devices_done(d, "redis is away");
    }
}


static int
logic_devices_fits(const logic_devices_t *d, const redisReply *reply)
{
    size_t             i, k;
    const redisReply  *list;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != d->n)
    {
        return 0;
    }

    for (i = 0; i < d->n; i++) {
        list = reply->element[i];

        if (list->type != REDIS_REPLY_ARRAY || list->elements % 3 != 0) {
            return 0;
        }

        for (k = 0; k < list->elements; k++) {
            if (list->element[k]->type != REDIS_REPLY_STRING) {
                return 0;
            }
        }
    }

    return 1;
}


static json_t *
logic_devices_user(logic_devices_t *d, int64_t mid, const redisReply *list)
{
    size_t   i;
    json_t  *devices, *one;

    devices = json_array();

    for (i = 0; i < list->elements; i += 3) {
        one = logic_devices_one(d->thread, &list->element[i]);

        if (one != NULL) {
            json_array_append_new(devices, one);
        }
    }

    return json_pack("{s:I, s:o}", "mid", (json_int_t) mid, "devices",
                     devices);
}


json_t *
logic_devices_one(logic_thread_t *t, redisReply **e)
{
    char     holder[LOGIC_HOLDER_BUF], *zone;
    json_t  *key;

    if (e[1]->len >= sizeof(holder)) {
        return NULL;
    }

    /* <server>/<zone>/<session>; a server_id may hold slashes */

    strcpy(holder, e[1]->str);
    zone = strrchr(holder, '/');

    if (zone == NULL) {
        return NULL;
    }

    *zone = '\0';
    zone = strrchr(holder, '/');

    if (zone == NULL) {
        return NULL;
    }

    *zone++ = '\0';

    if (!logic_devices_zone(t, holder, zone)) {
        return NULL;
    }

    key = json_stringn(e[0]->str, e[0]->len);

    return json_pack("{s:o, s:s, s:I}", "key",
                     key != NULL ? key : json_null(), "server", holder,
                     "since", (json_int_t) strtoll(e[2]->str, NULL, 10));
}


static int
logic_devices_zone(logic_thread_t *t, const char *server, const char *zone)
{
    size_t                  i;
    const registry_node_t  *node;

    node = registry_find(t->registry, server);

    for (i = 0; node != NULL && i < node->zones; i++) {
        if (strcmp(node->zone[i]->info->zone, zone) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
logic_devices_sure(int sure, void *data)
{
    logic_devices_t  *d = data;

    logic_devices_done(d, sure == 1 ? NULL
                          : sure == 0 ? "restoring: not all sessions are "
                                        "known yet"
                                      : "redis did not answer");
}


static void
logic_devices_done(logic_devices_t *d, const char *failed)
{
    if (failed == NULL) {
        logic_http_answer(d->thread, d->req, 200, 0, "", d->answer);

    } else {
        json_decref(d->answer);
        logic_http_failed(d->thread, d->req, failed);
    }

    free(d);
}
