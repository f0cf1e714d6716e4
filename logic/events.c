/*
 * Events go to the application: so many a POST, signed, one POST at a time, the
 * same ones again until it has taken them. They stay in Redis until then, so
 * that another logic goes on where this one ends.
 */

#include "events.h"

#include "hook.h"

#include "logic/lua/events_turn.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#define LOGIC_EVENTS_BATCH  "200"
#define LOGIC_EVENTS_TURN   1000        /* ms: the lease is renewed, or looked
                                           at */
#define LOGIC_EVENTS_POLL   100         /* ms, while there are none */
#define LOGIC_EVENTS_DEAD   4000        /* ms: a lease that nobody renews */
#define LOGIC_EVENTS_REST   100         /* ms, twice as long each time */
#define LOGIC_EVENTS_RESTS  30000
#define LOGIC_EVENTS_LEASE  80


static svc_script_t  logic_events_script = { .body = events_turn_lua };


struct logic_events_s {
    logic_thread_t  *thread;
    logic_hook_t    *hook;
    struct event    *timer;
    char             me[33];

    char             lease[LOGIC_EVENTS_LEASE];     /* of another logic, */
    int64_t          since;                     /* and when it was new */

    char             taken[48];         /* the last event that the application
                                           has, and Redis does not know that */
    int64_t          told;              /* given up, as the POST said */
    char             last[48];          /* event of the POST */
    size_t           n;                 /* events of it */

    unsigned         failures;          /* in a row */
    int64_t          rest;              /* until then */
    unsigned         turning:1;         /* Redis is asked, */
    unsigned         carries:1;         /* and told of `taken`, */
    unsigned         releases:1;        /* and that the lease is free */
    unsigned         posting:1;
    unsigned         holds:1;
    unsigned         stopped:1;
};


static void logic_events_tick(evutil_socket_t fd, short what, void *data);
static int logic_events_turn(logic_events_t *e);
static void logic_events_turned(svc_redis_t *r, redisReply *reply,
    void *data);
static int logic_events_fits(const redisReply *reply);
static void logic_events_other(logic_events_t *e, const redisReply *lease);
static void logic_events_post(logic_events_t *e, const redisReply *reply);
static void logic_events_posted(const logic_answer_t *answer, void *data);


int
logic_events_start(logic_thread_t *t)
{
    uint8_t          id[16];
    logic_events_t  *e;

    if (t->index != 0 || t->conf->events_set[0] == '\0') {
        return 0;
    }

    e = calloc(1, sizeof(logic_events_t));
    if (e == NULL) {
        return -1;
    }

    t->events = e;
    e->thread = t;
    e->timer = evtimer_new(t->base, logic_events_tick, e);
    e->hook = logic_hook_new(t->base, &t->conf->events_hook);

    if (e->timer == NULL || e->hook == NULL) {
        return -1;
    }

    evutil_secure_rng_get_bytes(id, sizeof(id));
    bus_hex(e->me, id, sizeof(id));
    svc_timer(e->timer, 0);

    return 0;
}


/* Another one takes over at once. */

void
logic_events_stop(logic_thread_t *t)
{
    if (t->events != NULL) {
        t->events->stopped = 1;
        svc_timer(t->events->timer, 0);
    }
}


int
logic_events_busy(const logic_thread_t *t)
{
    return t->events != NULL
           && (t->events->posting || t->events->turning || t->events->holds);
}


void
logic_events_free(logic_thread_t *t)
{
    if (t->events != NULL) {
        logic_hook_free(t->events->hook);
        event_free(t->events->timer);
        free(t->events);
        t->events = NULL;
    }
}


/* ---- Redis ---------------------------------------------------------------- */

static void
logic_events_tick(evutil_socket_t fd, short what, void *data)
{
    logic_events_t  *e = data;

    (void) fd;
    (void) what;

    if (e->stopped && !e->holds) {
        return;
    }

    if (!e->turning && logic_events_turn(e) != 0) {
        e->holds = 0;
    }

    svc_timer(e->timer, LOGIC_EVENTS_TURN);
}


static int
logic_events_turn(logic_events_t *e)
{
    char             key[LOGIC_KEY_BUF], life[24], told[24];
    char             events[LOGIC_EVENTS_SET + 24];
    const char      *argv[9];
    logic_thread_t  *t;

    t = e->thread;

    if (!svc_redis_is_up(t->redis)) {
        return -1;
    }

    key[logic_redis_key(t, key, "goim:", "life", 4)] = '\0';
    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(t->redis));
    snprintf(told, sizeof(told), "%" PRId64, e->told);
    snprintf(events, sizeof(events), "%s 0", t->conf->events_set);

    argv[0] = key;
    argv[1] = life;
    argv[2] = svc_redis_prefix(t->redis);
    argv[3] = events;
    argv[4] = e->me;
    argv[5] = e->lease[0] != '\0'
              && svc_now() - e->since > LOGIC_EVENTS_DEAD ? e->lease : "";
    argv[6] = e->taken;
    argv[7] = e->taken[0] != '\0' ? told : "0";
    argv[8] = e->posting ? "0"
              : e->stopped ? "-1"
              : svc_now() < e->rest ? "0" : LOGIC_EVENTS_BATCH;

    e->carries = e->taken[0] != '\0';
    e->releases = argv[8][0] == '-';
    e->turning = svc_redis_eval(t->redis, &logic_events_script,
                                logic_events_turned, e, 1, 9, argv, NULL)
                 == 0;

    return e->turning ? 0 : -1;
}


static void
logic_events_turned(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_events_t  *e = data;

    (void) r;

    e->turning = 0;

    if (!logic_events_fits(reply)) {

        if (svc_redis_class(reply) != SVC_REDIS_LIFE) {
            logic_redis_said("events", reply);
        }

        e->holds = 0;
        return;
    }

    if (reply->element[0]->integer == 0) {
        logic_events_other(e, reply->element[1]);
        return;
    }

    e->lease[0] = '\0';
    e->holds = !e->releases;
    metrics_set(logic_m.events_waiting, reply->element[3]->integer);

    if (e->carries) {
        e->taken[0] = '\0';
    }

    if (e->posting || e->releases) {
        return;
    }

    if (e->stopped || e->taken[0] != '\0') {
        svc_timer(e->timer, 0);

    } else if (reply->element[4]->elements > 0) {
        logic_events_post(e, reply);

    } else if (svc_now() >= e->rest) {
        svc_timer(e->timer, LOGIC_EVENTS_POLL);
    }
}


static int
logic_events_fits(const redisReply *reply)
{
    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements < 2
        || reply->element[0]->type != REDIS_REPLY_INTEGER
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        return 0;
    }

    return reply->element[0]->integer == 0
           || (reply->elements == 5
               && reply->element[2]->type == REDIS_REPLY_INTEGER
               && reply->element[3]->type == REDIS_REPLY_INTEGER
               && reply->element[4]->type == REDIS_REPLY_ARRAY);
}


/* Whoever has it may send again what the application has taken of ours. */

static void
logic_events_other(logic_events_t *e, const redisReply *lease)
{
    e->holds = 0;
    e->taken[0] = '\0';

    if (strcmp(e->lease, lease->str) != 0) {
        snprintf(e->lease, sizeof(e->lease), "%s", lease->str);
        e->since = svc_now();
    }
}


/* ---- the application ------------------------------------------------------ */

static void
logic_events_post(logic_events_t *e, const redisReply *reply)
{
    int          rc;
    char        *body;
    size_t       len;
    redisReply  *entries, *last;

    entries = reply->element[4];
    last = entries->element[entries->elements - 1];

    if (last->type != REDIS_REPLY_ARRAY || last->elements != 2
        || last->element[0]->type != REDIS_REPLY_STRING)
    {
        return;
    }

    e->told = reply->element[2]->integer;
    e->n = entries->elements;
    snprintf(e->last, sizeof(e->last), "%s", last->element[0]->str);

    body = logic_events_body(entries, e->told, &len);
    if (body == NULL) {
        return;
    }

    rc = logic_hook_signed(e->hook, e->thread->conf->events_secret, body, len,
                           logic_events_posted, e);
    free(body);

    e->posting = rc == 0;
}


/* 2xx: it has them. Anything else: the same again, and what came since. */

static void
logic_events_posted(const logic_answer_t *answer, void *data)
{
    logic_events_t  *e = data;

    int64_t  rest;

    static log_once_t  failed, dropped;

    e->posting = 0;

    if (answer->status >= 200 && answer->status <= 299) {
        e->failures = 0;
        strcpy(e->taken, e->last);
        metrics_add(logic_m.events[0], (int64_t) e->n);

        if (e->told > 0) {
            metrics_add(logic_m.events[1], e->told);
            log_seldom(&dropped, LOG_ERROR, "events: %" PRId64 " were given "
                       "up, as [events] max = %" PRId64 " waited", e->told,
                       e->thread->conf->events_max);
        }

        svc_timer(e->timer, 0);
        return;
    }

    metrics_add(logic_m.events_failed, 1);

    if (answer->status != 0) {
        log_seldom(&failed, LOG_WARN, "events: the application answered %d",
                   answer->status);
    } else {
        log_seldom(&failed, LOG_WARN, "events: %s", answer->error);
    }

    rest = LOGIC_EVENTS_REST << (e->failures < 9 ? e->failures : 9);
    rest = rest < LOGIC_EVENTS_RESTS ? rest : LOGIC_EVENTS_RESTS;
    e->failures++;
    e->rest = svc_now() + rest;

    svc_timer(e->timer, rest < LOGIC_EVENTS_TURN ? rest : LOGIC_EVENTS_TURN);
}
