/*
 * Those who have waited are taken for a while (offline_take.lua), looked at, told
 * with one POST, and done (offline_done.lua). Whoever dies in between, or fails,
 * leaves them to the next one, who tells the same of them: with the same id.
 */

#include "offline.h"

#include "hook.h"

#include "logic/lua/offline_done.lua.h"
#include "logic/lua/offline_take.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#define LOGIC_OFFLINE_POLL   100        /* ms */
#define LOGIC_OFFLINE_LOOK   3000       /* ms that one may take to look, */
#define LOGIC_OFFLINE_AGAIN  1000       /* before it is looked at again */
#define LOGIC_OFFLINE_REST   100        /* ms, twice as long each time */
#define LOGIC_OFFLINE_RESTS  30000


typedef struct {
    char         text[3][LOGIC_KEY_BUF];
    const char  *argv[3];
} logic_offline_keys_t;


static void logic_offline_tick(evutil_socket_t fd, short what, void *data);
static void logic_offline_taken(svc_redis_t *r, redisReply *reply, void *data);
static void logic_offline_posted(const logic_answer_t *answer, void *data);
static void logic_offline_done(logic_offline_t *o, const char *told,
    int64_t rest);
static void logic_offline_end(logic_offline_t *o, int64_t rest);


static svc_script_t  logic_offline_take_script = { .body = offline_take_lua };
static svc_script_t  logic_offline_done_script = { .body = offline_done_lua };


int
logic_offline_start(logic_thread_t *t)
{
    logic_offline_t  *o;

    if (t->index != 0 || t->conf->offline_hook.url[0] == '\0') {
        return 0;
    }

    o = calloc(1, sizeof(logic_offline_t));
    if (o == NULL) {
        return -1;
    }

    t->offline = o;
    o->thread = t;
    o->timer = evtimer_new(t->base, logic_offline_tick, o);
    o->hook = logic_hook_new(t->base, &t->conf->offline_hook);

    if (o->timer == NULL || o->hook == NULL) {
        return -1;
    }

    svc_timer(o->timer, 0);

    return 0;
}


void
logic_offline_stop(logic_thread_t *t)
{
    if (t->offline != NULL) {
        t->offline->stopped = 1;
    }
}


int
logic_offline_busy(const logic_thread_t *t)
{
    return t->offline != NULL && t->offline->busy;
}


static void
logic_offline_clear(logic_offline_t *o)
{
    size_t  i;

    for (i = 0; i < o->n; i++) {
        free(o->list[i].who);
        json_decref(o->list[i].told);
    }

    o->n = 0;
}


void
logic_offline_free(logic_thread_t *t)
{
    if (t->offline != NULL) {
        logic_hook_free(t->offline->hook);
        logic_offline_clear(t->offline);
        event_free(t->offline->timer);
        free(t->offline);
        t->offline = NULL;
    }
}


/* ---- they are taken ---- */

static void
logic_offline_keys(logic_offline_t *o, logic_offline_keys_t *keys)
{
    size_t  i;

    static const char *const  names[] = {
        "away", "away:taken", "away:state"
    };

    for (i = 0; i < 3; i++) {
        keys->text[i][logic_redis_key(o->thread, keys->text[i], "goim:",
                                      names[i], strlen(names[i]))] = '\0';
        keys->argv[i] = keys->text[i];
    }
}


static void
logic_offline_tick(evutil_socket_t fd, short what, void *data)
{
    logic_offline_t  *o = data;

    char                  delay[24], lease[24], most[24];
    const char           *argv[6];
    const logic_conf_t   *conf;
    logic_offline_keys_t  keys;

    (void) fd;
    (void) what;

    if (o->stopped || o->busy) {
        return;
    }

    conf = o->thread->conf;
    logic_offline_keys(o, &keys);
    snprintf(delay, sizeof(delay), "%" PRId64, conf->offline_delay);
    snprintf(lease, sizeof(lease), "%" PRId64,
             conf->offline_hook.timeout + LOGIC_OFFLINE_LOOK);
    snprintf(most, sizeof(most), "%d", LOGIC_OFFLINE_BATCH);

    memcpy(argv, keys.argv, sizeof(keys.argv));
    argv[3] = delay;
    argv[4] = lease;
    argv[5] = most;

    o->busy = svc_redis_eval(o->thread->redis, &logic_offline_take_script,
                             logic_offline_taken, o, 3, 6, argv, NULL)
              == 0;

    if (!o->busy) {
        svc_timer(o->timer, LOGIC_OFFLINE_POLL);
    }
}


/* <mid>/<conversation>/<epoch>; what is none is done, as there is nobody to
   tell of it. */

static void
logic_offline_parse(logic_offline_t *o, redisReply **reply)
{
    char                 *conv, *epoch;
    int64_t               low, high;
    logic_offline_one_t  *one;

    one = &o->list[o->n];
    memset(one, 0, sizeof(logic_offline_one_t));
    one->offline = o;
    one->who = strdup(reply[0]->str);

    if (one->who == NULL) {
        abort();
    }

    one->mid = strtoll(one->who, &conv, 10);
    epoch = strrchr(one->who, '/');

    if (*conv == '/' && epoch > conv
        && (size_t) (epoch - conv - 1) <= GOIM_IM_CONV)
    {
        memcpy(one->conv, conv + 1, (size_t) (epoch - conv - 1));
    }

    if (one->mid <= 0 || im_conv(one->conv, &low, &high) == IM_NONE) {
        one->mid = 0;
    }

    snprintf(one->upto, sizeof(one->upto), "%s", reply[1]->str);
    one->count = strtoll(reply[2]->str, NULL, 10);
    o->n++;
}


static void
logic_offline_taken(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t            i;
    redisReply       *list;
    logic_offline_t  *o = data;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_INTEGER
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        logic_redis_said("offline", reply);
        logic_offline_end(o, LOGIC_OFFLINE_POLL);
        return;
    }

    metrics_set(logic_m.offline_waiting, reply->element[0]->integer);
    list = reply->element[1];

    for (i = 0; i + 2 < list->elements && o->n < LOGIC_OFFLINE_BATCH; i += 3) {
        logic_offline_parse(o, &list->element[i]);
    }

    o->full = o->n == LOGIC_OFFLINE_BATCH;

    if (o->n == 0) {
        logic_offline_end(o, LOGIC_OFFLINE_POLL);

    } else {
        logic_offline_look(o);
    }
}


/* ---- the application ---- */

static char *
logic_offline_body(logic_offline_t *o, size_t *len)
{
    char    *text;
    size_t   i;
    json_t  *list, *body;

    list = json_array();

    for (i = 0; i < o->n; i++) {
        if (o->list[i].told != NULL) {
            json_array_append(list, o->list[i].told);
        }
    }

    text = NULL;
    body = json_pack("{s:o}", "offline", list);

    if (json_array_size(list) > 0) {
        text = json_dumps(body, JSON_COMPACT);
        *len = text != NULL ? strlen(text) : 0;
    }

    json_decref(body);

    return text;
}


void
logic_offline_looked(logic_offline_t *o, int rc)
{
    int     posted;
    char   *body;
    size_t  len;

    if (rc != 0) {
        o->unknown = 1;
        logic_offline_done(o, "again", LOGIC_OFFLINE_AGAIN);
        return;
    }

    body = logic_offline_body(o, &len);

    if (body == NULL) {
        logic_offline_done(o, "told", 0);
        return;
    }

    posted = logic_hook_signed(o->hook, o->thread->conf->offline_secret, body,
                               len, logic_offline_posted, o);
    free(body);

    if (posted != 0) {
        logic_offline_done(o, "again", LOGIC_OFFLINE_AGAIN);
    }
}


/* 2xx: it has them. Anything else: the same again, if it is still true then. */

static void
logic_offline_posted(const logic_answer_t *answer, void *data)
{
    int64_t           rest;
    logic_offline_t  *o = data;

    static log_once_t  failed;

    if (answer->status >= 200 && answer->status <= 299) {
        o->failures = 0;
        logic_offline_done(o, "told", 0);
        return;
    }

    metrics_add(logic_m.offline_failed, 1);

    if (answer->status != 0) {
        log_seldom(&failed, LOG_WARN, "offline: the application answered %d",
                   answer->status);
    } else {
        log_seldom(&failed, LOG_WARN, "offline: %s", answer->error);
    }

    rest = LOGIC_OFFLINE_REST << (o->failures < 9 ? o->failures : 9);
    rest = rest < LOGIC_OFFLINE_RESTS ? rest : LOGIC_OFFLINE_RESTS;
    o->failures++;

    logic_offline_done(o, "again", rest);
}


/* ---- they are done ---- */

static void
logic_offline_noted(svc_redis_t *r, redisReply *reply, void *data)
{
    (void) r;
    (void) data;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        logic_redis_said("offline", reply);
    }
}


/* What Redis does not learn is told once more when the lease is over. */

static void
logic_offline_done(logic_offline_t *o, const char *told, int64_t rest)
{
    char                  quiet[24], again[24];
    size_t                i, n, ntold;
    int64_t               left;
    const char           *argv[5 + 3 * LOGIC_OFFLINE_BATCH];
    const logic_conf_t   *conf;
    logic_offline_one_t  *one;
    logic_offline_keys_t  keys;

    conf = o->thread->conf;
    left = conf->offline_every - conf->offline_delay;
    snprintf(quiet, sizeof(quiet), "%" PRId64, left > 0 ? left : 0);
    snprintf(again, sizeof(again), "%" PRId64, rest);

    logic_offline_keys(o, &keys);
    memcpy(argv, keys.argv, sizeof(keys.argv));
    argv[3] = quiet;
    argv[4] = again;

    for (i = 0, n = 5, ntold = 0; i < o->n; i++) {
        one = &o->list[i];
        argv[n++] = one->who;
        argv[n++] = one->upto;
        argv[n++] = one->told != NULL || o->unknown ? told : "no";
        ntold += one->told != NULL;
    }

    if (told[0] == 't') {
        metrics_add(logic_m.offline[0], (int64_t) ntold);
    }

    if (!o->unknown) {
        metrics_add(logic_m.offline[1], (int64_t) (o->n - ntold));
    }

    if (svc_redis_eval(o->thread->redis, &logic_offline_done_script,
                       logic_offline_noted, NULL, 3, (int) n, argv, NULL)
        != 0)
    {
        logic_redis_said("offline", NULL);
    }

    logic_offline_end(o, rest > 0 ? rest : o->full ? 0 : LOGIC_OFFLINE_POLL);
}


static void
logic_offline_end(logic_offline_t *o, int64_t rest)
{
    logic_offline_clear(o);

    o->busy = 0;
    o->full = 0;
    o->unknown = 0;

    svc_timer(o->timer, rest);
}
