/*
 * How often a user may send, over all connections, nodes and logics: a bucket
 * of tokens a mid in Redis, by its clock.
 */

#include "send.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logic/lua/send_rate.lua.h"


typedef struct {
    logic_rate_pt  cb;
    void          *data;
} logic_rate_t;


static void logic_rated(svc_redis_t *r, redisReply *reply, void *data);
static void logic_send_rated(int64_t after, void *data);


static svc_script_t  logic_rate_script = { .body = send_rate_lua };


double
logic_send_limit(const logic_thread_t *t, const logic_limits_t *limits,
    int64_t *burst)
{
    *burst = limits->mid_burst > 0 ? limits->mid_burst : t->conf->mid_burst;

    return limits->has_mid_rate ? limits->mid_rate : t->conf->mid_rate;
}


void
logic_rate(logic_thread_t *t, int64_t mid, double rate, int64_t burst,
    logic_rate_pt cb, void *data)
{
    int            i;
    char           key[LOGIC_KEY_BUF], sender[24], number[2][24];
    size_t         len[3];
    const char    *argv[3];
    logic_rate_t  *of;

    if (rate == 0) {
        cb(0, data);
        return;
    }

    of = malloc(sizeof(logic_rate_t));

    if (of == NULL) {
        cb(-1, data);
        return;
    }

    of->cb = cb;
    of->data = data;

    snprintf(sender, sizeof(sender), "%" PRId64, mid);
    snprintf(number[0], sizeof(number[0]), "%" PRId64,
             (int64_t) (1000000 / rate));
    snprintf(number[1], sizeof(number[1]), "%" PRId64, burst);

    argv[0] = key;
    len[0] = logic_redis_key(t, key, "sent_", sender, strlen(sender));

    for (i = 0; i < 2; i++) {
        argv[i + 1] = number[i];
        len[i + 1] = strlen(number[i]);
    }

    if (svc_redis_eval(t->redis, &logic_rate_script, logic_rated, of, 1, 3,
                       argv, len)
        != 0)
    {
        free(of);
        cb(-1, data);
    }
}


static void
logic_rated(svc_redis_t *r, redisReply *reply, void *data)
{
    int64_t       after;
    logic_rate_t  of;

    (void) r;

    of = *(logic_rate_t *) data;
    free(data);

    after = -1;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        after = reply->integer > 0 ? reply->integer : 0;

    } else if (reply != NULL) {
        logic_redis_said("how often a user sends", reply);
    }

    of.cb(after, of.data);
}


void
logic_send_rate(logic_send_t *s)
{
    logic_rate(s->thread, s->mid, s->rate, s->burst, logic_send_rated, s);
}


static void
logic_send_rated(int64_t after, void *data)
{
    if (after < 0) {
        logic_send_end(data, GOIM_LATER, "it was not sent: try again");

    } else if (after > 0) {
        logic_send_often(data, after);

    } else {
        logic_send_before(data);
    }
}
