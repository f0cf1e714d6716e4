/*
 * A client's message that the bus has: the application is told of it, before
 * the client has its answer.
 */

#include "send.h"

#include "logic/lua/events_message.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "svc/log.h"

#define LOGIC_MESSAGE_MIDS  (LOGIC_SEND_MIDS * 21 + 3)


static void logic_events_mids(const logic_send_line_t *line, char *text);
static void logic_events_messaged(svc_redis_t *r, redisReply *reply,
    void *data);
static void logic_events_lost(const char *why);


static svc_script_t  logic_message_script = { .body = events_message_lua };


void
logic_events_message(logic_send_t *s)
{
    char             key[LOGIC_KEY_BUF], life[24], operation[16], bytes[24];
    char             events[LOGIC_EVENTS_SET + 24], mids[LOGIC_MESSAGE_MIDS];
    const char      *argv[11];
    logic_thread_t  *t;

    t = s->thread;

    if (strchr(t->conf->events_set, 'm') == NULL) {
        logic_send_end(s, 0, "");
        return;
    }

    if (!svc_redis_is_up(t->redis)) {
        logic_events_lost("redis is away");
        logic_send_end(s, 0, "");
        return;
    }

    key[logic_redis_key(t, key, "goim:", "life", 4)] = '\0';
    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(t->redis));
    snprintf(events, sizeof(events), "%s 0", t->conf->events_set);
    snprintf(operation, sizeof(operation), "%" PRId32, s->line.operation);
    snprintf(bytes, sizeof(bytes), "%zu", s->line.len);
    logic_events_mids(&s->line, mids);

    argv[0] = key;
    argv[1] = life;
    argv[2] = svc_redis_prefix(t->redis);
    argv[3] = events;
    argv[4] = s->sender;
    argv[5] = s->key;
    argv[6] = s->line.room;
    argv[7] = operation;
    argv[8] = bytes;
    argv[9] = s->line.id;
    argv[10] = mids;

    if (svc_redis_eval(t->redis, &logic_message_script,
                       logic_events_messaged, s, 1, 11, argv, NULL)
        != 0)
    {
        logic_events_lost("redis is away");
        logic_send_end(s, 0, "");
    }
}


static void
logic_events_mids(const logic_send_line_t *line, char *text)
{
    size_t  i;

    *text = '\0';

    for (i = 0; i < line->nmids; i++) {
        text += sprintf(text, "%c%" PRId64, i == 0 ? '[' : ',',
                        line->mids[i]);
    }

    if (i > 0) {
        strcpy(text, "]");
    }
}


static void
logic_events_messaged(svc_redis_t *r, redisReply *reply, void *data)
{
    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        logic_events_lost(reply == NULL ? "redis did not answer"
                          : reply->type == REDIS_REPLY_ERROR ? reply->str
                                                             : "redis");
    }

    logic_send_end(data, 0, "");
}


/* It was sent: to say otherwise would have it sent again. */

static void
logic_events_lost(const char *why)
{
    static log_once_t  once;

    metrics_add(logic_m.events[1], 1);
    log_seldom(&once, LOG_ERROR, "events: a message was sent, and the "
               "application will not be told: %.200s", why);
}
