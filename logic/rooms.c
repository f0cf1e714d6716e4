/*
 * Rooms with members in a zone are listed in Redis, so that job leaves the
 * other nodes out: a node is answered when that is so, and only then lets
 * anybody in.
 */

#include "rooms.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/log.h"

#include "logic/lua/rooms.lua.h"


#define LOGIC_ROOMS_HEAD  7         /* the key, and arguments before rooms */


typedef struct {
    logic_call_t  *call;
    uint64_t       life;
} logic_rooms_t;


static int logic_rooms_valid(const Goim__Rooms *r);
static int logic_rooms_send(logic_rooms_t *ask);
static void logic_rooms_done(svc_redis_t *r, redisReply *reply, void *data);


static svc_script_t  logic_rooms_script = { .body = rooms_lua };


void
logic_rooms_call(logic_call_t *call)
{
    logic_rooms_t  *ask;

    if (!logic_rooms_valid(call->msg->rooms)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "rooms");
        return;
    }

    ask = malloc(sizeof(logic_rooms_t));
    if (ask == NULL) {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "no memory");
        return;
    }

    ask->call = call;

    if (logic_rooms_send(ask) != 0) {
        free(ask);
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "redis is away");
    }
}


static int
logic_rooms_valid(const Goim__Rooms *r)
{
    size_t  i;

    if (!logic_zone_valid(r->server, r->zone)
        || r->n_listed > GOIM_LISTS_CALL || r->n_off > GOIM_LISTS_CALL)
    {
        return 0;
    }

    for (i = 0; i < r->n_listed; i++) {
        if (r->listed[i].len > GOIM_ROOM_MAX) {
            return 0;
        }
    }

    for (i = 0; i < r->n_off; i++) {
        if (r->off[i].len > GOIM_ROOM_MAX) {
            return 0;
        }
    }

    return 1;
}


static int
logic_rooms_send(logic_rooms_t *ask)
{
    int                 rc;
    char                life_key[LOGIC_KEY_BUF], zone[LOGIC_NAME_MAX + 1];
    char                number[4][24];
    size_t              i, n, *len;
    const char        **argv;
    svc_redis_t        *redis;
    const Goim__Rooms  *r;

    redis = ask->call->thread->redis;
    r = ask->call->msg->rooms;

    if (!svc_redis_is_up(redis)) {
        return -1;
    }

    n = LOGIC_ROOMS_HEAD + r->n_listed + r->n_off;
    argv = malloc(n * sizeof(char *));
    len = malloc(n * sizeof(size_t));

    if (argv == NULL || len == NULL) {
        free(argv);
        free(len);
        return -1;
    }

    ask->life = svc_redis_life(redis);

    i = logic_redis_key(ask->call->thread, life_key, "goim:", "life", 4);
    life_key[i] = '\0';

    snprintf(zone, sizeof(zone), "%s/%s", r->server, r->zone);
    snprintf(number[0], sizeof(number[0]), "%" PRIu64, ask->life);
    snprintf(number[1], sizeof(number[1]), "%" PRIu64, r->order);
    snprintf(number[2], sizeof(number[2]), "%" PRIu64, r->off_order);
    snprintf(number[3], sizeof(number[3]), "%zu", r->n_listed);

    argv[0] = life_key;
    argv[1] = number[0];
    argv[2] = zone;
    argv[3] = svc_redis_prefix(redis);
    argv[4] = number[1];
    argv[5] = number[2];
    argv[6] = number[3];

    for (n = 0; n < LOGIC_ROOMS_HEAD; n++) {
        len[n] = strlen(argv[n]);
    }

    for (i = 0; i < r->n_listed; i++) {
        argv[n] = (const char *) r->listed[i].data;
        len[n++] = r->listed[i].len;
    }

    for (i = 0; i < r->n_off; i++) {
        argv[n] = (const char *) r->off[i].data;
        len[n++] = r->off[i].len;
    }

    rc = svc_redis_eval(redis, &logic_rooms_script, logic_rooms_done, ask, 1,
                        (int) n, argv, len);
    free(argv);
    free(len);

    return rc;
}


static void
logic_rooms_done(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_rooms_t  *ask = data;

    logic_call_t  *call;

    static log_once_t  once;

    Goim__Reply   answer = GOIM__REPLY__INIT;
    Goim__Roomed  roomed = GOIM__ROOMED__INIT;

    (void) r;

    call = ask->call;
    roomed.life = ask->life;
    free(ask);

    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
        logic_redis_said("rooms", reply);
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED,
                         "redis did not do it");
        return;
    }

    if (reply->integer > 0) {
        metrics_add(logic_m.broken, reply->integer);
        log_seldom(&once, LOG_ERROR, "rooms: a key of a wrong type in Redis "
                   "was replaced");
    }

    metrics_add(logic_m.rooms_listed, (int64_t) call->msg->rooms->n_listed);
    metrics_add(logic_m.rooms_off, (int64_t) call->msg->rooms->n_off);

    answer.reply_case = GOIM__REPLY__REPLY_ROOMED;
    answer.roomed = &roomed;

    logic_reply(call, &answer);
}
