/*
 * How many are in a room: each zone of a node tells what changed in its own
 * counts (goim:online:<server>/<zone>), and the difference goes into the sums
 * of the cluster (goim:online, largest first). What is asked for is there.
 */

#include "online.h"

#include "access.h"

#include "logic/lua/online_tell.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_ONLINE_ASKED  10000       /* rooms of a request */


static svc_script_t  logic_online_script = { .body = online_tell_lua };


typedef struct logic_counts_s  logic_counts_t;

/* Counts of rooms that somebody asked for. */
struct logic_counts_s {
    logic_thread_t         *thread;
    logic_call_t           *call;       /* Online, or */
    http_request_t         *req;        /* online/room */
    size_t                  skip;       /* of a room key, to its id */
    const char            **room;
    size_t                 *len;
    int64_t                *count;
    size_t                  nrooms;
    unsigned                asked;      /* commands, and one while asking */
    unsigned                failed:1;
    unsigned                all:1;      /* the zone is to tell all */
};


static logic_counts_t *logic_counts_new(logic_thread_t *t, size_t nrooms);
static void logic_counts_ask(logic_counts_t *c);
static void logic_counts_told(svc_redis_t *r, redisReply *reply, void *data);
static void logic_counts_end(logic_counts_t *c);
static int logic_online_valid(const Goim__Online *o);
static void logic_online_reply(logic_counts_t *c);
static int logic_online_store(logic_counts_t *c);
static void logic_online_stored(svc_redis_t *r, redisReply *reply,
    void *data);


size_t
logic_online_key(logic_thread_t *t, char *buf, const char *name)
{
    return logic_redis_key(t, buf, "goim:online:", name, strlen(name));
}


/* ---- asking ------------------------------------------------------------ */

static logic_counts_t *
logic_counts_new(logic_thread_t *t, size_t nrooms)
{
    logic_counts_t  *c;

    c = calloc(1, sizeof(logic_counts_t));
    if (c == NULL) {
        return NULL;
    }

    c->thread = t;
    c->nrooms = nrooms;
    c->asked = 1;
    c->room = calloc(nrooms + 1, sizeof(char *));
    c->len = calloc(nrooms + 1, sizeof(size_t));
    c->count = calloc(nrooms + 1, sizeof(int64_t));

    if (c->room == NULL || c->len == NULL || c->count == NULL) {
        free(c->room);
        free(c->len);
        free(c->count);
        free(c);
        return NULL;
    }

    return c;
}


static void
logic_counts_ask(logic_counts_t *c)
{
    int           rc;
    char          key[LOGIC_KEY_BUF];
    size_t        i, *len;
    const char  **argv;

    if (c->nrooms == 0) {
        return;
    }

    argv = malloc((c->nrooms + 2) * sizeof(char *));
    len = malloc((c->nrooms + 2) * sizeof(size_t));

    rc = -1;

    if (argv != NULL && len != NULL) {
        argv[0] = "ZMSCORE";
        len[0] = 7;
        argv[1] = key;
        len[1] = logic_redis_key(c->thread, key, "goim:", "online", 6);

        for (i = 0; i < c->nrooms; i++) {
            argv[i + 2] = c->room[i];
            len[i + 2] = c->len[i];
        }

        rc = svc_redis_call(c->thread->redis, logic_counts_told, c,
                            (int) c->nrooms + 2, argv, len);
    }

    free(argv);
    free(len);

    if (rc != 0) {
        c->failed = 1;
        return;
    }

    c->asked++;
}


static void
logic_counts_told(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t           i;
    int64_t          n;
    logic_counts_t  *c = data;

    (void) r;

    if (svc_redis_class(reply) == SVC_REDIS_TYPE) {
        /* the next call of a zone puts it right */
        metrics_add(logic_m.broken, 1);

    } else if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
               || reply->elements != c->nrooms)
    {
        logic_redis_said("online: ZMSCORE", reply);
        c->failed = 1;

    } else {

        for (i = 0; i < c->nrooms; i++) {
            if (reply->element[i]->type == REDIS_REPLY_STRING) {
                n = -strtoll(reply->element[i]->str, NULL, 10);
                c->count[i] = n > 0 && n <= UINT32_MAX ? n : 0;
            }
        }
    }

    logic_counts_end(c);
}


static void
logic_counts_end(logic_counts_t *c)
{
    size_t   i;
    json_t  *data;

    if (--c->asked > 0) {
        return;
    }

    if (c->call != NULL) {
        logic_online_reply(c);

    } else if (c->failed) {
        logic_http_failed(c->thread, c->req, "redis did not answer");

    } else {
        data = json_object();

        for (i = 0; i < c->nrooms; i++) {
            json_object_set_new(data, c->room[i] + c->skip,
                                json_integer(c->count[i]));
        }

        logic_http_answer(c->thread, c->req, 200, 0, "", data);
    }

    if (c->req != NULL) {
        for (i = 0; i < c->nrooms; i++) {
            free((char *) c->room[i]);
        }
    }

    free(c->room);
    free(c->len);
    free(c->count);
    free(c);
}


/* ---- a backend asks ---------------------------------------------------- */

/* -1: answered, a room is not the key's. */

static int
logic_online_may(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, const char *type)
{
    int     n;
    char    room[GOIM_ROOM_MAX + 1];
    size_t  i;

    for (i = 0; i < q->nargs; i++) {

        if (strcmp(q->args[i].name, "rooms") != 0) {
            continue;
        }

        n = snprintf(room, sizeof(room), "%s://%s", type, q->args[i].value);

        if (n < (int) sizeof(room)
            && logic_access_room(t, req, q->key, room, (size_t) n) != 0)
        {
            return -1;
        }
    }

    return 0;
}


void
logic_online_room(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    char            *key;
    size_t           i, n;
    const char      *type;
    logic_counts_t  *c;

    type = logic_http_type(t, req, q);

    if (type == NULL) {
        return;
    }

    n = logic_query_count(q, "rooms");

    if (n == 0) {
        logic_http_bad(t, req, "rooms: required");
        return;
    }

    if (n > LOGIC_ONLINE_ASKED) {
        logic_http_bad(t, req, "rooms: more than %d", LOGIC_ONLINE_ASKED);
        return;
    }

    if (logic_online_may(t, req, q, type) != 0) {
        return;
    }

    c = logic_counts_new(t, n);

    if (c == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    c->req = req;
    c->skip = strlen(type) + 3;
    c->nrooms = 0;

    for (i = 0; i < q->nargs; i++) {

        if (strcmp(q->args[i].name, "rooms") != 0
            || c->skip + q->args[i].len > GOIM_ROOM_MAX)
        {
            continue;
        }

        if (asprintf(&key, "%s://%s", type, q->args[i].value) == -1) {
            c->failed = 1;
            break;
        }

        c->room[c->nrooms] = key;
        c->len[c->nrooms++] = strlen(key);
    }

    logic_counts_ask(c);
    logic_counts_end(c);
}


void
logic_online_total(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    size_t                  i, k, n;
    json_int_t              conns, ips;
    const registry_node_t  *nodes;

    (void) q;

    if (!registry_current(t->registry)) {
        logic_http_failed(t, req, "redis is away");
        return;
    }

    conns = 0;
    ips = 0;
    n = registry_nodes(t->registry, &nodes);

    for (i = 0; i < n; i++) {
        for (k = 0; k < nodes[i].renewed; k++) {
            conns += nodes[i].zone[k]->info->conn_count;
            ips += nodes[i].zone[k]->info->ip_count;
        }
    }

    logic_http_answer(t, req, 200, 0, "",
                      json_pack("{s:I, s:I}", "conn_count", conns,
                                "ip_count", ips));
}


/* ---- a comet tells ----------------------------------------------------- */

static int
logic_online_valid(const Goim__Online *o)
{
    size_t  i;

    if (!logic_zone_valid(o->server, o->zone)
        || o->n_rooms + o->n_asked > LOGIC_ROOMS_CALL)
    {
        return 0;
    }

    for (i = 0; i < o->n_rooms; i++) {
        if (o->rooms[i]->room.len == 0
            || o->rooms[i]->room.len > GOIM_ROOM_MAX)
        {
            return 0;
        }
    }

    for (i = 0; i < o->n_asked; i++) {
        if (o->asked[i].len == 0 || o->asked[i].len > GOIM_ROOM_MAX) {
            return 0;
        }
    }

    return 1;
}


void
logic_online_call(logic_call_t *call)
{
    size_t           i;
    logic_counts_t  *c;
    Goim__Online    *o;

    o = call->msg->online;

    if (!logic_online_valid(o)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "online");
        return;
    }

    c = logic_counts_new(call->thread, o->n_rooms + o->n_asked);

    if (c == NULL) {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "no memory");
        return;
    }

    c->call = call;

    for (i = 0; i < o->n_rooms; i++) {
        c->room[i] = (const char *) o->rooms[i]->room.data;
        c->len[i] = o->rooms[i]->room.len;
    }

    for (i = 0; i < o->n_asked; i++) {
        c->room[o->n_rooms + i] = (const char *) o->asked[i].data;
        c->len[o->n_rooms + i] = o->asked[i].len;
    }

    /* the same connection carries both, so what is read has the new counts */

    if (logic_online_store(c) == 0) {
        c->asked++;
        logic_counts_ask(c);

    } else {
        c->failed = 1;
    }

    logic_counts_end(c);
}


static int
logic_online_store(logic_counts_t *c)
{
    int            rc;
    char           name[LOGIC_NAME_MAX + 1], told[12], (*number)[12];
    char           key[3][LOGIC_KEY_BUF];
    size_t         i, n, *len;
    const char   **argv;
    Goim__Online  *o;

    o = c->call->msg->online;

    n = 6 + 2 * o->n_rooms;
    argv = malloc(n * sizeof(char *));
    len = malloc(n * sizeof(size_t));
    number = malloc((o->n_rooms + 1) * sizeof(*number));

    rc = -1;

    if (argv == NULL || len == NULL || number == NULL) {
        goto done;
    }

    snprintf(name, sizeof(name), "%s/%s", o->server, o->zone);
    snprintf(told, sizeof(told), "%" PRIu32, o->told);

    len[0] = logic_online_key(c->thread, key[0], name);
    len[1] = logic_redis_key(c->thread, key[1], "goim:", "online", 6);
    len[2] = logic_online_key(c->thread, key[2], "zones");

    for (i = 0; i < 3; i++) {
        argv[i] = key[i];
    }

    argv[3] = name;
    argv[4] = o->reset ? "1" : "0";
    argv[5] = o->whole ? told : "";

    for (i = 3; i < 6; i++) {
        len[i] = strlen(argv[i]);
    }

    for (i = 0; i < o->n_rooms; i++) {
        argv[6 + 2 * i] = (const char *) o->rooms[i]->room.data;
        len[6 + 2 * i] = o->rooms[i]->room.len;
        argv[7 + 2 * i] = number[i];
        len[7 + 2 * i] = (size_t) snprintf(number[i], sizeof(*number),
                                           "%" PRIu32, o->rooms[i]->count);
    }

    rc = svc_redis_eval(c->thread->redis, &logic_online_script,
                        logic_online_stored, c, 3, (int) n, argv, len);

done:

    free(argv);
    free(len);
    free(number);

    return rc;
}


static void
logic_online_stored(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_counts_t  *c = data;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
    {
        logic_redis_said("online", reply);
        c->failed = 1;

    } else {
        c->all = reply->element[0]->type == REDIS_REPLY_INTEGER
                 && reply->element[0]->integer != 0;

        if (reply->element[1]->type == REDIS_REPLY_STRING
            && reply->element[1]->len > 0)
        {
            logic_retire(c->thread, reply->element[1]->str);
        }
    }

    logic_counts_end(c);
}


static void
logic_online_reply(logic_counts_t *c)
{
    size_t             i;
    Goim__RoomCount   *rooms, **list;

    Goim__Reply    reply = GOIM__REPLY__INIT;
    Goim__Onlined  onlined = GOIM__ONLINED__INIT;

    rooms = calloc(c->nrooms + 1, sizeof(Goim__RoomCount));
    list = calloc(c->nrooms + 1, sizeof(Goim__RoomCount *));

    if (c->failed || rooms == NULL || list == NULL) {
        logic_reply_code(c->call, GOIM__REPLY__CODE__FAILED,
                         "redis did not answer");
        goto done;
    }

    for (i = 0; i < c->nrooms; i++) {
        goim__room_count__init(&rooms[i]);
        rooms[i].room.data = (uint8_t *) c->room[i];
        rooms[i].room.len = c->len[i];
        rooms[i].count = c->count[i] > UINT32_MAX ? UINT32_MAX
                                                  : (uint32_t) c->count[i];
        list[i] = &rooms[i];
    }

    onlined.n_rooms = c->nrooms;
    onlined.rooms = list;
    onlined.all = c->all;

    reply.reply_case = GOIM__REPLY__REPLY_ONLINED;
    reply.onlined = &onlined;

    logic_reply(c->call, &reply);

done:

    free(rooms);
    free(list);
}
