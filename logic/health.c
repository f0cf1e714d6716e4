/*
 * What operators ask: does it work, what has it done, is Redis fit for it.
 */

#include "canary.h"
#include "health.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "svc/log.h"

#define LOGIC_HEALTH_EXPIRE  "60"


typedef struct {
    logic_thread_t         *thread;
    http_request_t         *req;
} logic_health_t;


static void logic_health_wrote(svc_redis_t *r, redisReply *reply,
    void *data);
static void logic_health_say(http_request_t *req,
    const char *reason);
static void logic_health_told(svc_redis_t *r, redisReply *reply,
    void *data);


/*
 * Healthy is who can write to Redis (not only reach it) and whose bus takes
 * records.
 */

void
logic_health(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    char             key[LOGIC_KEY_BUF];
    size_t           len;
    logic_health_t  *h;

    (void) q;

    if (t->draining) {
        logic_health_say(req, "draining");
        return;
    }

    h = malloc(sizeof(logic_health_t));
    if (h == NULL) {
        logic_health_say(req, "no memory");
        return;
    }

    h->thread = t;
    h->req = req;

    len = logic_redis_key(t, key, "goim:", "health", 6);

    if (svc_redis_callf(t->redis, logic_health_wrote, h,
                        "SET %b 1 EX " LOGIC_HEALTH_EXPIRE, key, len) != 0)
    {
        free(h);
        logic_health_say(req, "redis: not connected");
    }
}


static void
logic_health_wrote(svc_redis_t *r, redisReply *reply, void *data)
{
    char                    reason[256];
    logic_health_t         *h = data;
    logic_thread_t         *t;
    http_request_t         *req;

    (void) r;

    t = h->thread;
    req = h->req;
    free(h);

    if (reply == NULL) {
        logic_health_say(req, "redis: no answer");

    } else if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(reason, sizeof(reason), "redis: %.200s", reply->str);
        logic_health_say(req, reason);

    } else if (!bus_producer_healthy(t->bus)) {
        snprintf(reason, sizeof(reason), "bus: %s is not usable",
                 t->conf->bus.driver);
        logic_health_say(req, reason);

    } else {
        logic_health_say(req, NULL);
    }
}


static void
logic_health_say(http_request_t *req, const char *reason)
{
    char    *text;
    json_t  *answer;

    if (reason != NULL) {
        answer = json_pack("{s:s, s:s}", "status", "unavailable", "reason",
                           reason);

    } else if (metrics_get(logic_m.no_job)) {
        answer = json_pack("{s:s, s:s}", "status", "ok", "warning", "no job "
                           "is seen in this Redis, database and prefix");

    } else if (metrics_get(logic_m.auth_paused)) {
        answer = json_pack("{s:s, s:s}", "status", "ok", "warning", "logins "
                           "are refused: the application does not answer");

    } else {
        answer = json_pack("{s:s}", "status", "ok");
    }

    text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);

    if (text == NULL) {
        text = strdup("{\"status\":\"unavailable\"}");
    }

    http_answer(req, reason == NULL ? 200 : 503,
                "application/json; charset=utf-8", text,
                text != NULL ? strlen(text) : 0);
    free(text);
}


/*
 * Ready is who gets pushes through, and knows it by its canaries. Who sends
 * none is as ready as it is healthy.
 */

void
logic_ready(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    char  why[256];

    if (t->conf->canary == 0) {
        logic_health(t, req, q);
        return;
    }

    logic_health_say(req, t->draining ? "draining"
                          : logic_canary_missing(t, why, sizeof(why)));
}


void
logic_metrics(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    char    *text;
    size_t   len;

    (void) t;
    (void) q;

    text = metrics_text(&len);

    http_answer(req, text != NULL ? 200 : 500,
                "text/plain; version=0.0.4; charset=utf-8", text,
                text != NULL ? len : 0);
    free(text);
}


void
logic_health_job(int seen, void *data)
{
    logic_thread_t  *t = data;

    const svc_redis_conf_t  *conf;

    conf = &t->conf->redis;
    metrics_set(logic_m.no_job, !seen);

    if (seen) {
        log_write(LOG_NOTICE, "a job is seen in Redis");
        return;
    }

    log_write(LOG_ERROR, "no job is seen in redis %s, database %" PRId64
              ", under prefix '%s': what is pushed arrives when one comes; "
              "[redis] of logic and job must be the same", conf->addr,
              conf->db, conf->prefix);
}


/* One thread asks, once a process: it is the same Redis for all. */

void
logic_health_ask(logic_thread_t *t)
{
    if (t->index != 0 || t->asked) {
        return;
    }

    t->asked = svc_redis_callf(t->redis, logic_health_told, t,
                               "CONFIG GET appendonly appendfsync "
                               "maxmemory maxmemory-policy") == 0;
}


static void
logic_health_told(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t           i;
    log_text_t       text, other;
    const char      *name, *value, *only, *fsync, *policy, *memory;
    logic_thread_t  *t = data;

    (void) r;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        t->asked = reply != NULL;
        return;
    }

    only = "yes";
    fsync = "always";
    policy = "noeviction";
    memory = "0";

    for (i = 0; i + 1 < reply->elements; i += 2) {
        name = reply->element[i]->str;
        value = reply->element[i + 1]->str;

        if (name == NULL || value == NULL) {
            continue;
        }

        if (strcasecmp(name, "appendonly") == 0) {
            only = value;

        } else if (strcasecmp(name, "appendfsync") == 0) {
            fsync = value;

        } else if (strcasecmp(name, "maxmemory-policy") == 0) {
            policy = value;

        } else if (strcasecmp(name, "maxmemory") == 0) {
            memory = value;
        }
    }

    if (strcmp(t->conf->bus.driver, "redis") == 0
        && (strcmp(only, "yes") != 0 || strcmp(fsync, "always") != 0))
    {
        log_write(LOG_WARN, "redis has \"appendonly %s\" and \"appendfsync "
                  "%s\": pushes answered with code 0 may be lost when it "
                  "stops; they are safe with yes and always",
                  log_text(&text, only), log_text(&other, fsync));
    }

    if (strcmp(policy, "noeviction") != 0) {
        log_write(LOG_WARN, "redis has \"maxmemory-policy %s\"%s: it may "
                  "drop sessions and messages; take noeviction",
                  log_text(&text, policy),
                  strcmp(memory, "0") == 0 ? " (and no maxmemory yet)" : "");
    }
}
