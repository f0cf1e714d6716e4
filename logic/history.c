/*
 * Which rooms have a history, as each thread knows it.
 */

#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_HISTORY_TICK   1000       /* ms */
#define LOGIC_HISTORY_OF     160
#define LOGIC_HISTORY_STAMP  32


struct logic_history_s {
    struct event  *tick;
    history_t      types;
    uint32_t       partitions;
    char           of[LOGIC_HISTORY_OF];
    char           stamp[LOGIC_HISTORY_STAMP + 1];
};

/* an answer that is awaited */
typedef struct {
    logic_thread_t  *thread;
    void           (*known)(int ok, void *data);
    void            *data;
} logic_history_ask_t;


static void logic_history_tick(evutil_socket_t fd, short what, void *data);
static void logic_history_told(int ok, void *data);
static void logic_history_got(svc_redis_t *r, redisReply *reply, void *data);
static int logic_history_take(logic_history_t *h, const redisReply *reply);


int
logic_history_init(logic_thread_t *t)
{
    logic_history_t  *h;

    h = calloc(1, sizeof(logic_history_t));
    if (h == NULL) {
        return -1;
    }

    t->history = h;
    h->tick = evtimer_new(t->base, logic_history_tick, t);

    return h->tick == NULL ? -1 : 0;
}


void
logic_history_free(logic_thread_t *t)
{
    event_free(t->history->tick);
    free(t->history);
}


void
logic_history_up(logic_thread_t *t)
{
    svc_timer(t->history->tick, 0);
}


static void
logic_history_tick(evutil_socket_t fd, short what, void *data)
{
    logic_thread_t  *t = data;

    (void) fd;
    (void) what;

    if (logic_history_ask(t, logic_history_told, t) != 0) {
        svc_timer(t->history->tick, LOGIC_HISTORY_TICK);
    }
}


static void
logic_history_told(int ok, void *data)
{
    logic_thread_t  *t = data;

    (void) ok;

    svc_timer(t->history->tick, LOGIC_HISTORY_TICK);
}


int
logic_history_ask(logic_thread_t *t, void (*known)(int ok, void *data),
    void *data)
{
    char                  key[LOGIC_KEY_BUF];
    size_t                len;
    logic_history_ask_t  *ask;

    ask = malloc(sizeof(logic_history_ask_t));
    if (ask == NULL) {
        return -1;
    }

    ask->thread = t;
    ask->known = known;
    ask->data = data;

    len = logic_redis_key(t, key, "goim:", "history", 7);

    if (svc_redis_callf(t->redis, logic_history_got, ask,
                        "HMGET %b text of stamp partitions", key, len)
        != 0)
    {
        free(ask);
        return -1;
    }

    return 0;
}


static void
logic_history_got(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_history_ask_t  *ask = data;

    int  ok;

    (void) r;

    ok = reply != NULL && reply->type == REDIS_REPLY_ARRAY
         && reply->elements == 4;

    if (!ok) {
        logic_redis_said("history", reply);

    } else {
        ok = logic_history_take(ask->thread->history, reply) == 0;
    }

    ask->known(ok, ask->data);
    free(ask);
}


/* Nothing that job has written: then nobody knows. */

static int
logic_history_take(logic_history_t *h, const redisReply *reply)
{
    size_t               i;
    uint32_t             partitions;
    redisReply         **e;

    memset(&h->types, 0, sizeof(history_t));
    h->partitions = 0;
    h->stamp[0] = '\0';

    e = reply->element;

    for (i = 0; i < 4; i++) {
        if (e[i]->type != REDIS_REPLY_STRING) {
            return -1;
        }
    }

    partitions = (uint32_t) strtoul(e[3]->str, NULL, 10);

    if (e[1]->len >= LOGIC_HISTORY_OF || e[2]->len == 0
        || e[2]->len > LOGIC_HISTORY_STAMP || partitions == 0)
    {
        return -1;
    }

    /* as job: of a text that is wrong no room has a history */

    (void) history_parse(&h->types, e[0]->str);

    h->partitions = partitions;
    snprintf(h->of, sizeof(h->of), "%s", e[1]->str);
    snprintf(h->stamp, sizeof(h->stamp), "%s", e[2]->str);

    return 0;
}


uint32_t
logic_history_home(logic_thread_t *t, const char *room)
{
    return history_find(&t->history->types, room) != NULL
           ? t->history->partitions : 0;
}


const char *
logic_history_of(logic_thread_t *t)
{
    return t->history->of;
}


const char *
logic_history_stamp(logic_thread_t *t)
{
    return t->history->stamp;
}
