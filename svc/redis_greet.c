/*
 * What is said to Redis first: AUTH, SELECT, and which run of Redis it is.
 */

#include "redis_int.h"

#include "svc/lua/redis_life.lua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SVC_REDIS_CLOCK_TOOK  50     /* ms */


static svc_script_t  svc_redis_life_script = { .body = redis_life_lua };


static void
svc_redis_refused(svc_redis_t *r, const char *step, redisReply *reply)
{
    if (reply == NULL) {
        return;                 /* the connection is going down already */
    }

    log_seldom(&r->failures, LOG_ERROR, "redis %s: %s: %s", r->conf.addr,
               step, reply->type == REDIS_REPLY_ERROR ? reply->str
                                                      : "unexpected answer");
    svc_redis_reconnect(r);
}


static void
svc_redis_on_auth(svc_redis_t *r, redisReply *reply, void *data)
{
    if (reply == NULL || reply->type != REDIS_REPLY_STATUS) {
        svc_redis_refused(r, data, reply);
    }
}


static void
svc_redis_on_life(svc_redis_t *r, redisReply *reply, void *data)
{
    uint64_t  life;

    (void) data;

    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        svc_redis_refused(r, "the life", reply);
        return;
    }

    life = strtoull(reply->str, NULL, 10);

    if (life == 0) {
        svc_redis_refused(r, "the life", reply);
        return;
    }

    if (r->was_up && life != r->life) {
        log_write(LOG_WARN, "redis %s: another run of Redis, life %llu "
                  "after %llu", r->conf.addr, (unsigned long long) life,
                  (unsigned long long) r->life);
    }

    log_write(r->was_up ? LOG_NOTICE : LOG_INFO, "redis %s: connected",
              r->conf.addr);

    r->life = life;
    r->state = SVC_REDIS_UP;
    r->since = svc_now();
    r->was_up = 1;

    metrics_add(svc_redis_metrics.connects, 1);
    metrics_add(svc_redis_metrics.up, 1);

    svc_redis_tell(r, 1);
}


/* It is read between question and answer: in the middle, as far as we know. */
static void
svc_redis_on_time(svc_redis_t *r, redisReply *reply, void *data)
{
    int64_t  now, took;

    (void) data;

    took = svc_now() - r->clock_sent;
    r->clock_sent = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        svc_redis_refused(r, "TIME", reply);
        return;
    }

    now = strtoll(reply->element[0]->str, NULL, 10) * 1000
          + strtoll(reply->element[1]->str, NULL, 10) / 1000;

    /* an answer that took long tells less than what is known */

    if (r->state != SVC_REDIS_UP || took < SVC_REDIS_CLOCK_TOOK) {
        svc_redis_clock_set(r, now + took / 2);
    }
}


void
svc_redis_clock_ask(svc_redis_t *r)
{
    const char  *argv[1];

    argv[0] = "TIME";

    if (r->clock_sent == 0
        && svc_redis_send(r, svc_redis_on_time, NULL, 1, argv, NULL) == 0)
    {
        r->clock_sent = svc_now();
    }
}


void
svc_redis_clock_set(svc_redis_t *r, int64_t now)
{
    r->clock = now - svc_now();
}


int64_t
svc_redis_clock(svc_redis_t *r)
{
    return svc_now() + r->clock;
}


/* The value of a line `name:value` of INFO. */
static int
svc_redis_info(const redisReply *reply, const char *name, char *value,
    size_t size)
{
    size_t       n;
    const char  *p;

    for (p = reply->str; p != NULL; p = strchr(p, '\n')) {

        if (*p == '\n') {
            p++;
        }

        n = strlen(name);

        if (strncmp(p, name, n) == 0 && p[n] == ':') {
            p += n + 1;
            n = strcspn(p, "\r\n");

            if (n == 0 || n >= size) {
                return -1;
            }

            memcpy(value, p, n);
            value[n] = '\0';

            return 0;
        }
    }

    return -1;
}


static void
svc_redis_on_info(svc_redis_t *r, redisReply *reply, void *data)
{
    char         version[32], mode[32];
    log_text_t   t;
    const char  *argv[2];

    (void) data;

    if (reply == NULL || reply->type != REDIS_REPLY_STRING
        || svc_redis_info(reply, "run_id", r->run_id, sizeof(r->run_id)) != 0
        || svc_redis_info(reply, "redis_version", version,
                          sizeof(version)) != 0)
    {
        svc_redis_refused(r, "INFO server", reply);
        return;
    }

    if (strtol(version, NULL, 10) < 7) {
        log_seldom(&r->failures, LOG_ERROR, "redis %s: version %s is too "
                   "old, 7.0 or newer is needed", r->conf.addr,
                   log_text(&t, version));
        svc_redis_reconnect(r);
        return;
    }

    if (svc_redis_info(reply, "redis_mode", mode, sizeof(mode)) == 0
        && strcmp(mode, "cluster") == 0)
    {
        log_seldom(&r->failures, LOG_ERROR, "redis %s: it runs as a cluster, "
                   "which is not supported: scripts touch keys of several "
                   "slots", r->conf.addr);
        svc_redis_reconnect(r);
        return;
    }

    argv[0] = r->life_key;
    argv[1] = r->run_id;

    svc_redis_eval_in(r, &svc_redis_life_script, svc_redis_on_life, NULL, 1,
                      2, argv, NULL);
}


void
svc_redis_greet(svc_redis_t *r)
{
    int          n;
    char         db[24];
    const char  *argv[3];

    r->state = SVC_REDIS_GREETING;
    event_del(r->timer);

    if (r->conf.password[0] != '\0') {
        n = 0;
        argv[n++] = "AUTH";

        if (r->conf.user[0] != '\0') {
            argv[n++] = r->conf.user;
        }

        argv[n++] = r->conf.password;
        svc_redis_send(r, svc_redis_on_auth, "AUTH", n, argv, NULL);
    }

    if (r->conf.db != 0) {
        snprintf(db, sizeof(db), "%lld", (long long) r->conf.db);
        argv[0] = "SELECT";
        argv[1] = db;
        svc_redis_send(r, svc_redis_on_auth, "SELECT", 2, argv, NULL);
    }

    svc_redis_clock_ask(r);

    argv[0] = "INFO";
    argv[1] = "server";
    svc_redis_send(r, svc_redis_on_info, NULL, 2, argv, NULL);
}
