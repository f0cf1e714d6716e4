/*
 * Counts of zones that are gone leave the sums of the cluster, some hundred
 * rooms at a time. Several logics may do it at once: each takes others.
 */

#include "online.h"

#include "logic/lua/online_due.lua.h"
#include "logic/lua/online_retire.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_RETIRE_ROOMS  "500"       /* a script */
#define LOGIC_RETIRE_NAMES  "16"        /* zones at a time */


static svc_script_t  logic_due_script = { .body = online_due_lua };
static svc_script_t  logic_retire_script = { .body = online_retire_lua };


typedef struct {
    logic_thread_t  *thread;
    char             name[LOGIC_NAME_MAX + 1];
} logic_retire_t;


static void logic_retire_due(svc_redis_t *r, redisReply *reply, void *data);
static int logic_retire_some(logic_retire_t *z);
static void logic_retire_done(svc_redis_t *r, redisReply *reply, void *data);


/* One thread does it for all. What this logic knows to be there stays,
 * whatever Redis's clock says. */

void
logic_retire_poll(logic_thread_t *t)
{
    char         key[2][LOGIC_KEY_BUF], ttl[24];
    size_t       len[4];
    const char  *argv[4];

    if (t->index != 0 || !registry_current(t->registry)) {
        return;
    }

    len[0] = logic_online_key(t, key[0], "zones");
    len[1] = logic_redis_key(t, key[1], "goim:nodes:", "seen", 4);

    argv[0] = key[0];
    argv[1] = key[1];
    argv[2] = ttl;
    argv[3] = LOGIC_RETIRE_NAMES;

    len[2] = (size_t) snprintf(ttl, sizeof(ttl), "%" PRId64,
                               t->conf->node_ttl);
    len[3] = strlen(argv[3]);

    (void) svc_redis_eval(t->redis, &logic_due_script, logic_retire_due, t, 2,
                          4, argv, len);
}


static void
logic_retire_due(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t           i;
    logic_thread_t  *t = data;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY)
    {
        return;
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_STRING
            && !logic_retire_lives(t, reply->element[i]->str))
        {
            logic_retire(t, reply->element[i]->str);
        }
    }
}


int
logic_retire_lives(logic_thread_t *t, const char *name)
{
    size_t                  i, k, n, len;
    const registry_node_t  *nodes;

    n = registry_nodes(t->registry, &nodes);

    for (i = 0; i < n; i++) {
        len = strlen(nodes[i].server);

        if (strncmp(name, nodes[i].server, len) != 0 || name[len] != '/') {
            continue;
        }

        for (k = 0; k < nodes[i].renewed; k++) {
            if (strcmp(name + len + 1, nodes[i].zone[k]->info->zone) == 0) {
                return 1;
            }
        }
    }

    return 0;
}


void
logic_retire(logic_thread_t *t, const char *name)
{
    logic_retire_t  *z;

    if (strlen(name) > LOGIC_NAME_MAX) {
        return;
    }

    z = malloc(sizeof(logic_retire_t));
    if (z == NULL) {
        return;
    }

    z->thread = t;
    strcpy(z->name, name);

    if (logic_retire_some(z) != 0) {
        free(z);
    }
}


static int
logic_retire_some(logic_retire_t *z)
{
    int              i;
    char             key[3][LOGIC_KEY_BUF];
    size_t           len[5];
    const char      *argv[5];
    logic_thread_t  *t;

    t = z->thread;

    len[0] = logic_online_key(t, key[0], z->name);
    len[1] = logic_redis_key(t, key[1], "goim:", "online", 6);
    len[2] = logic_online_key(t, key[2], "zones");

    for (i = 0; i < 3; i++) {
        argv[i] = key[i];
    }

    argv[3] = z->name;
    argv[4] = LOGIC_RETIRE_ROOMS;
    len[3] = strlen(argv[3]);
    len[4] = strlen(argv[4]);

    return svc_redis_eval(t->redis, &logic_retire_script, logic_retire_done,
                          z, 3, 5, argv, len);
}


/* What is not done now is due at the next poll. */

static void
logic_retire_done(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_retire_t  *z = data;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        logic_redis_said("online: a zone that is gone", reply);

    } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer > 0
               && logic_retire_some(z) == 0)
    {
        return;
    }

    free(z);
}
