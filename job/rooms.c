/*
 * Which nodes have members of a room: looked up for each group of records,
 * and never kept.
 *
 * A node lets nobody into a room before that is listed in Redis, and the
 * lists are read after the records were taken: a session that was in the room
 * when a push was accepted is on a node that is found here. A node says with
 * its registration in which life of Redis all its rooms are listed; in any
 * other one it may have any room.
 */

#include "rooms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/goim_hash.h"
#include "svc/log.h"
#include "svc/lua/room_nodes.lua.h"

#include "node.h"
#include "nodes.h"


#define JOB_ROOMS_MAX   4096        /* looked up at once */
#define JOB_ROOMS_SLOT  (2 * JOB_ROOMS_MAX)
#define JOB_ROOMS_CALL  256         /* of a command */
#define JOB_ROOMS_HEAD  4           /* the key, and arguments before rooms */


typedef struct {
    uint64_t       hash;
    size_t         name;            /* in names */
    size_t         len;
    size_t         first;           /* in found */
    size_t         n;
    int            any;             /* all nodes may have it */
} job_room_t;

struct job_rooms_s {
    job_rooms_pt   cb;
    uint64_t       life;
    uint64_t       seed[2];

    /* the first is no room: who is listed for it may have any */
    job_room_t     room[JOB_ROOMS_MAX];
    size_t         nrooms;          /* 0: nothing was looked up */
    uint16_t       slot[JOB_ROOMS_SLOT];    /* index + 1 */

    char          *names;
    size_t         used;
    size_t         size;

    job_node_t   **found;
    size_t         nfound;
    size_t         size_found;

    job_node_t   **list;            /* what was asked for last */
    size_t         size_list;
    size_t         nalways;         /* its first ones: those of all rooms */
    uint64_t       record;

    size_t         outstanding;     /* commands */
    int            failed;
};

typedef struct {
    job_t         *job;
    size_t         first;
    size_t         n;
} job_rooms_call_t;


static svc_script_t  job_rooms_script = { .body = room_nodes_lua };


static int job_rooms_needed(job_t *job);
static job_room_t *job_rooms_find(job_rooms_t *r, const char *name, int add);
static int job_rooms_send(job_t *job, size_t first, size_t n);
static void job_rooms_told(svc_redis_t *redis, redisReply *reply, void *data);
static void job_rooms_take(job_t *job, job_room_t *room,
    const redisReply *zones);
static job_node_t *job_rooms_node(job_t *job, const redisReply *zone);
static void job_rooms_found(job_t *job);


int
job_rooms_init(job_t *job)
{
    job_rooms_t  *r;

    r = calloc(1, sizeof(job_rooms_t));
    if (r == NULL) {
        return -1;
    }

    job->rooms = r;

    /* names are the clients' choice */

    return getrandom(r->seed, sizeof(r->seed), 0) == sizeof(r->seed) ? 0 : -1;
}


void
job_rooms_free(job_t *job)
{
    free(job->rooms->names);
    free(job->rooms->found);
    free(job->rooms->list);
    free(job->rooms);
}


/* ---- asking ---- */

int
job_rooms_ask(job_t *job, const job_msg_t *msg, job_rooms_pt cb)
{
    size_t          i;
    job_rooms_t    *r;
    Goim__PushMsg  *push;

    r = job->rooms;
    r->nrooms = 0;

    if (!job_rooms_needed(job)) {
        return 0;
    }

    memset(r->slot, 0, sizeof(r->slot));
    r->used = 0;
    r->nfound = 0;
    r->failed = 0;
    r->cb = cb;
    r->life = svc_redis_life(job->redis);

    (void) job_rooms_find(r, "", 1);

    for ( /* void */ ; msg != NULL; msg = msg->link) {

        if (msg->part != NULL
            && job_record_parse(&job->arena, msg->data, msg->len, &push)
               == JOB_GOOD
            && push->type == GOIM__PUSH_MSG__TYPE__ROOM
            && job_rooms_find(r, push->room, 1) == NULL)
        {
            break;
        }
    }

    if (r->nrooms == 1) {
        r->nrooms = 0;
        return 0;
    }

    for (i = 0; i < r->nrooms && !r->failed; i += JOB_ROOMS_CALL) {
        r->failed = job_rooms_send(job, i, r->nrooms - i < JOB_ROOMS_CALL
                                           ? r->nrooms - i : JOB_ROOMS_CALL)
                    != 0;
    }

    return r->outstanding > 0 ? 1 : -1;
}


/* Whether any node has its rooms listed in this life of Redis. */

static int
job_rooms_needed(job_t *job)
{
    size_t    i, n;
    uint64_t  life;

    life = svc_redis_life(job->redis);
    n = 0;

    for (i = 0; i < job->nnodes; i++) {
        n += (job->nodes[i]->rooms == life);
    }

    metrics_set(job->m.nodes_listed, (int64_t) n);

    return n > 0;
}


/* add: NULL when there are too many */

static job_room_t *
job_rooms_find(job_rooms_t *r, const char *name, int add)
{
    size_t       i, len;
    uint64_t     hash;
    job_room_t  *room;

    len = strlen(name);
    hash = goim_hash(r->seed, name, len);

    for (i = hash % JOB_ROOMS_SLOT; r->slot[i] != 0;
         i = (i + 1) % JOB_ROOMS_SLOT)
    {
        room = &r->room[r->slot[i] - 1];

        if (room->hash == hash && room->len == len
            && memcmp(r->names + room->name, name, len) == 0)
        {
            return room;
        }
    }

    if (!add || r->nrooms == JOB_ROOMS_MAX) {
        return NULL;
    }

    if (r->used + len > r->size) {
        r->size = 2 * (r->used + len);
        r->names = job_realloc(r->names, r->size);
    }

    room = &r->room[r->nrooms++];
    r->slot[i] = (uint16_t) r->nrooms;

    memset(room, 0, sizeof(job_room_t));
    room->hash = hash;
    room->name = r->used;
    room->len = len;

    if (len > 0) {
        memcpy(r->names + r->used, name, len);
        r->used += len;
    }

    return room;
}


static int
job_rooms_send(job_t *job, size_t first, size_t n)
{
    char               life_key[1024], life[24], max[24];
    size_t             i, len[JOB_ROOMS_HEAD + JOB_ROOMS_CALL];
    const char        *argv[JOB_ROOMS_HEAD + JOB_ROOMS_CALL];
    job_room_t        *room;
    job_rooms_t       *r;
    job_rooms_call_t  *call;

    r = job->rooms;

    snprintf(life_key, sizeof(life_key), "%sgoim:life",
             svc_redis_prefix(job->redis));
    snprintf(life, sizeof(life), "%llu", (unsigned long long) r->life);

    /* two zones of each, or it is cheaper to ask no further */

    snprintf(max, sizeof(max), "%zu", 2 * job->nnodes + 16);

    argv[0] = life_key;
    argv[1] = life;
    argv[2] = svc_redis_prefix(job->redis);
    argv[3] = max;

    for (i = 0; i < JOB_ROOMS_HEAD; i++) {
        len[i] = strlen(argv[i]);
    }

    for (i = 0; i < n; i++) {
        room = &r->room[first + i];
        argv[JOB_ROOMS_HEAD + i] = r->names + room->name;
        len[JOB_ROOMS_HEAD + i] = room->len;
    }

    call = job_realloc(NULL, sizeof(job_rooms_call_t));
    call->job = job;
    call->first = first;
    call->n = n;

    if (svc_redis_eval(job->redis, &job_rooms_script, job_rooms_told, call, 1,
                       (int) (JOB_ROOMS_HEAD + n), argv, len)
        != 0)
    {
        free(call);
        return -1;
    }

    metrics_add(job->m.rooms, (int64_t) n);
    r->outstanding++;

    return 0;
}


/* ---- what Redis says ---- */

static void
job_rooms_told(svc_redis_t *redis, redisReply *reply, void *data)
{
    job_rooms_call_t  *call = data;

    static log_once_t  once;

    size_t             i;
    job_t             *job;
    job_rooms_t       *r;
    svc_redis_class_t  class;

    (void) redis;

    job = call->job;
    r = job->rooms;
    class = svc_redis_class(reply);

    if (class == SVC_REDIS_AGAIN || class == SVC_REDIS_LIFE) {
        r->failed = 1;

    } else if (class != SVC_REDIS_OK || reply->type != REDIS_REPLY_ARRAY
               || reply->elements != call->n)
    {
        /* it won't say, so all nodes get them */

        log_seldom(&once, LOG_ERROR, "the nodes of rooms are not told: %.200s",
                   reply->type == REDIS_REPLY_ERROR ? reply->str
                                                    : "unexpected answer");

        for (i = 0; i < call->n; i++) {
            r->room[call->first + i].any = 1;
        }

    } else if (!r->failed && !job->draining) {

        for (i = 0; i < call->n; i++) {
            job_rooms_take(job, &r->room[call->first + i],
                           reply->element[i]);
        }
    }

    free(call);

    if (--r->outstanding > 0) {
        return;
    }

    if (!r->failed && !job->draining) {
        job_rooms_found(job);
    }

    r->cb(job, !r->failed);
}


static void
job_rooms_take(job_t *job, job_room_t *room, const redisReply *zones)
{
    size_t        i;
    job_node_t   *node;
    job_rooms_t  *r;

    r = job->rooms;
    room->first = r->nfound;

    if (zones->type != REDIS_REPLY_ARRAY) {
        room->any = 1;
        return;
    }

    if (r->nfound + zones->elements > r->size_found) {
        r->size_found = 2 * (r->nfound + zones->elements);
        r->found = job_realloc(r->found,
                               r->size_found * sizeof(job_node_t *));
    }

    for (i = 0; i < zones->elements; i++) {

        if (zones->element[i]->type != REDIS_REPLY_STRING
            || strcmp(zones->element[i]->str, "*") == 0)
        {
            room->any = 1;
            return;
        }

        node = job_rooms_node(job, zones->element[i]);

        if (node != NULL) {
            r->found[r->nfound++] = node;
            room->n++;
        }
    }
}


/* <server>/<zone>; a zone's id has no '/' */

static job_node_t *
job_rooms_node(job_t *job, const redisReply *zone)
{
    char         server[GOIM_SERVER_MAX + 1];
    size_t       len;
    const char  *end;

    end = strrchr(zone->str, '/');
    len = end != NULL ? (size_t) (end - zone->str) : 0;

    if (len == 0 || len > GOIM_SERVER_MAX) {
        return NULL;
    }

    memcpy(server, zone->str, len);
    server[len] = '\0';

    return job_nodes_find(job, server);
}


/* All is told: those that get every room's records. */

static void
job_rooms_found(job_t *job)
{
    size_t        i;
    job_node_t   *node;
    job_room_t   *any;
    job_rooms_t  *r;

    r = job->rooms;
    any = &r->room[0];

    r->record = 0;
    r->nalways = 0;

    if (job->nnodes > r->size_list) {
        r->size_list = job->nnodes;
        r->list = job_realloc(r->list, r->size_list * sizeof(job_node_t *));
    }

    for (i = 0; i < job->nnodes; i++) {
        job->nodes[i]->chosen = 0;
    }

    for (i = 0; i < any->n; i++) {
        r->found[any->first + i]->chosen = UINT64_MAX;
    }

    for (i = 0; i < job->nnodes; i++) {
        node = job->nodes[i];

        if (node->rooms != r->life || node->chosen != 0 || any->any) {
            node->chosen = UINT64_MAX;
            r->list[r->nalways++] = node;
        }
    }
}


int
job_rooms_nodes(job_t *job, const char *name, job_node_t ***nodes, size_t *n)
{
    size_t        i;
    job_node_t   *node;
    job_room_t   *room;
    job_rooms_t  *r;

    r = job->rooms;
    *nodes = job->nodes;
    *n = job->nnodes;

    if (r->nrooms == 0) {
        return 0;
    }

    room = job_rooms_find(r, name, 0);

    if (room == NULL) {
        return -1;
    }

    if (room->any) {
        return 0;
    }

    r->record++;
    *nodes = r->list;
    *n = r->nalways;

    for (i = 0; i < room->n; i++) {
        node = r->found[room->first + i];

        if (node->chosen < r->record) {
            node->chosen = r->record;
            r->list[(*n)++] = node;
        }
    }

    metrics_add(job->m.spared, (int64_t) (job->nnodes - *n));

    return 0;
}
