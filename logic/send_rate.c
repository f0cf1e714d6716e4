/*
 * How often a user may send, over all connections, nodes and logics: a bucket
 * of tokens a mid in Redis, by its clock.
 */

#include "send.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "logic/lua/send_rate.lua.h"


static void logic_send_rated(svc_redis_t *r, redisReply *reply, void *data);


static svc_script_t  logic_rate_script = { .body = send_rate_lua };


void
logic_send_rate(logic_send_t *s)
{
    int                  i;
    char                 key[LOGIC_KEY_BUF], number[2][24];
    size_t               len[3];
    const char          *argv[3];
    logic_thread_t      *t;

    t = s->thread;

    if (s->rate == 0) {
        logic_send_before(s);
        return;
    }

    snprintf(number[0], sizeof(number[0]), "%" PRId64,
             (int64_t) (1000000 / s->rate));
    snprintf(number[1], sizeof(number[1]), "%" PRId64, s->burst);

    argv[0] = key;
    len[0] = logic_redis_key(t, key, "sent_", s->sender, strlen(s->sender));

    for (i = 0; i < 2; i++) {
        argv[i + 1] = number[i];
        len[i + 1] = strlen(number[i]);
    }

    if (svc_redis_eval(t->redis, &logic_rate_script, logic_send_rated, s, 1, 3,
                       argv, len)
        != 0)
    {
        logic_send_end(s, GOIM_LATER, "it was not sent: try again");
    }
}


static void
logic_send_rated(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_send_t  *s = data;

    (void) r;

    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {

        if (reply != NULL) {
            logic_redis_said("how often a user sends", reply);
        }

        logic_send_end(s, GOIM_LATER, "it was not sent: try again");

    } else if (reply->integer > 0) {
        logic_send_often(s, reply->integer);

    } else {
        logic_send_before(s);
    }
}
