/*
 * Sessions whose worker is gone have ended, and whoever takes one out of its
 * set tells the application so: at once when its zone says which workers live,
 * or that it leaves; after its time when nobody renews it. Several logics may
 * do it at once: each takes others.
 */

#include "who.h"

#include "online.h"

#include "logic/lua/online_due.lua.h"
#include "logic/lua/who_retire.lua.h"
#include "logic/lua/who_sweep.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_WHO_SESSIONS  "200"       /* a script */
#define LOGIC_WHO_ZONES     "16"        /* at a time */
#define LOGIC_WHO_WORKERS   1024        /* that live, of a zone */


static svc_script_t  logic_who_due_script = { .body = online_due_lua };
static svc_script_t  logic_who_sweep_script = { .body = who_sweep_lua };
static svc_script_t  logic_who_retire_script = { .body = who_retire_lua };


/* a zone, and then one of its workers */
typedef struct {
    logic_thread_t  *thread;
    int              lives;         /* the zone does */
    char             server[GOIM_SERVER_MAX + 1];
    char             zone[GOIM_ZONE_MAX + 1];
    char             worker[24];
} logic_who_zone_t;


static logic_who_zone_t *logic_who_zone(logic_thread_t *t, const char *server,
    const char *zone);
static void logic_who_due(svc_redis_t *r, redisReply *reply, void *data);
static void logic_who_gone(svc_redis_t *r, redisReply *reply, void *data);
static void logic_who_worker(const logic_who_zone_t *z,
    const redisReply *worker);
static int logic_who_some(logic_who_zone_t *z);
static void logic_who_done(svc_redis_t *r, redisReply *reply, void *data);


static logic_who_zone_t *
logic_who_zone(logic_thread_t *t, const char *server, const char *zone)
{
    logic_who_zone_t  *z;

    if (strlen(server) > GOIM_SERVER_MAX || strlen(zone) > GOIM_ZONE_MAX) {
        return NULL;
    }

    z = calloc(1, sizeof(logic_who_zone_t));

    if (z != NULL) {
        z->thread = t;
        strcpy(z->server, server);
        strcpy(z->zone, zone);
    }

    return z;
}


/* ---- which are gone ----------------------------------------------------- */

void
logic_who_registered(logic_thread_t *t, const Goim__Register *r)
{
    char               key[LOGIC_KEY_BUF], name[LOGIC_NAME_MAX + 1];
    char               life[24], events[LOGIC_EVENTS_SET + 24];
    char               number[LOGIC_WHO_WORKERS + 1][24];
    size_t             i, n;
    const char        *argv[6 + LOGIC_WHO_WORKERS];
    logic_who_zone_t  *z;

    if (t->conf->events_set[0] == '\0' || r->worker == 0
        || r->n_workers > LOGIC_WHO_WORKERS || !svc_redis_is_up(t->redis))
    {
        return;
    }

    z = logic_who_zone(t, r->server, r->zone);
    if (z == NULL) {
        return;
    }

    z->lives = 1;

    key[logic_redis_key(t, key, "goim:", "life", 4)] = '\0';
    snprintf(name, sizeof(name), "%s/%s", r->server, r->zone);
    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(t->redis));
    snprintf(events, sizeof(events), "%s 0", t->conf->events_set);
    snprintf(number[0], sizeof(number[0]), "%" PRIu64, r->worker);

    argv[0] = key;
    argv[1] = life;
    argv[2] = svc_redis_prefix(t->redis);
    argv[3] = name;
    argv[4] = number[0];
    argv[5] = events;
    n = 6;

    for (i = 0; i < r->n_workers; i++) {
        snprintf(number[1 + i], sizeof(number[0]), "%" PRIu64, r->workers[i]);
        argv[n++] = number[1 + i];
    }

    if (svc_redis_eval(t->redis, &logic_who_sweep_script, logic_who_gone, z,
                       1, (int) n, argv, NULL)
        != 0)
    {
        free(z);
    }
}


void
logic_who_left(logic_thread_t *t, const char *server, const char *zone)
{
    char               key[LOGIC_KEY_BUF], name[LOGIC_NAME_MAX + 1];
    size_t             len;
    logic_who_zone_t  *z;

    if (t->conf->events_set[0] == '\0') {
        return;
    }

    z = logic_who_zone(t, server, zone);
    if (z == NULL) {
        return;
    }

    snprintf(name, sizeof(name), "%s/%s", server, zone);
    len = logic_redis_key(t, key, "goim:sessions:", name, strlen(name));

    if (svc_redis_callf(t->redis, logic_who_gone, z, "SMEMBERS %b", key, len)
        != 0)
    {
        free(z);
    }
}


/* One thread does it for all. */

void
logic_who_poll(logic_thread_t *t)
{
    char         key[2][LOGIC_KEY_BUF], ttl[24];
    const char  *argv[4];

    if (t->index != 0 || t->conf->events_set[0] == '\0'
        || !registry_current(t->registry))
    {
        return;
    }

    key[0][logic_redis_key(t, key[0], "goim:", "sessions", 8)] = '\0';
    key[1][logic_redis_key(t, key[1], "goim:nodes:", "seen", 4)] = '\0';
    snprintf(ttl, sizeof(ttl), "%" PRId64, t->conf->node_ttl);

    argv[0] = key[0];
    argv[1] = key[1];
    argv[2] = ttl;
    argv[3] = LOGIC_WHO_ZONES;

    (void) svc_redis_eval(t->redis, &logic_who_due_script, logic_who_due, t, 2,
                          4, argv, NULL);
}


static void
logic_who_due(svc_redis_t *r, redisReply *reply, void *data)
{
    char            *name, *zone;
    size_t           i;
    logic_thread_t  *t = data;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY)
    {
        return;
    }

    for (i = 0; i < reply->elements; i++) {

        if (reply->element[i]->type != REDIS_REPLY_STRING
            || logic_retire_lives(t, reply->element[i]->str))
        {
            continue;
        }

        /* <server>/<zone>; a server_id may hold slashes */

        name = reply->element[i]->str;
        zone = strrchr(name, '/');

        if (zone != NULL) {
            *zone++ = '\0';
            logic_who_left(t, name, zone);
        }
    }
}


/* ---- and their sessions ------------------------------------------------- */

static void
logic_who_gone(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_who_zone_t  *z = data;

    size_t  i;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY)
    {
        logic_redis_said("workers that are gone", reply);
        free(z);
        return;
    }

    for (i = 0; i < reply->elements; i++) {
        logic_who_worker(z, reply->element[i]);
    }

    free(z);
}


static void
logic_who_worker(const logic_who_zone_t *z, const redisReply *worker)
{
    logic_who_zone_t  *one;

    if (worker->type != REDIS_REPLY_STRING
        || worker->len >= sizeof(one->worker))
    {
        return;
    }

    one = malloc(sizeof(logic_who_zone_t));
    if (one == NULL) {
        return;
    }

    *one = *z;
    strcpy(one->worker, worker->str);

    if (logic_who_some(one) != 0) {
        free(one);
    }
}


static int
logic_who_some(logic_who_zone_t *z)
{
    char             key[LOGIC_KEY_BUF], life[24];
    char             events[LOGIC_EVENTS_SET + 24];
    const char      *argv[9];
    logic_thread_t  *t;

    t = z->thread;

    if (!svc_redis_is_up(t->redis)) {
        return -1;
    }

    key[logic_redis_key(t, key, "goim:", "life", 4)] = '\0';
    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(t->redis));
    snprintf(events, sizeof(events), "%s 0", t->conf->events_set);

    argv[0] = key;
    argv[1] = life;
    argv[2] = svc_redis_prefix(t->redis);
    argv[3] = z->server;
    argv[4] = z->zone;
    argv[5] = z->worker;
    argv[6] = LOGIC_WHO_SESSIONS;
    argv[7] = z->lives ? "1" : "0";
    argv[8] = events;

    return svc_redis_eval(t->redis, &logic_who_retire_script, logic_who_done,
                          z, 1, 9, argv, NULL);
}


/* What is not done now is due again. */

static void
logic_who_done(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_who_zone_t  *z = data;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        logic_redis_said("sessions of a worker that is gone", reply);

    } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer > 0
               && logic_who_some(z) == 0)
    {
        return;
    }

    free(z);
}
