/*
 * online/top: the counts of all rooms, summed over the live zones, and kept
 * for a moment. Whoever asks while they are being read waits for them.
 */

#include "online.h"
#include "rooms.h"

#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#define LOGIC_TOP_COUNT  "1000"     /* rooms a HSCAN, about */


typedef struct logic_asker_s  logic_asker_t;

struct logic_asker_s {
    TAILQ_ENTRY(logic_asker_s)  entry;
    http_request_t             *req;
    size_t                      limit;
    char                        type[];
};

TAILQ_HEAD(logic_askers_s, logic_asker_s);

struct logic_top_s {
    logic_thread_t         *thread;
    logic_rooms_t          *rooms;      /* the last ones; NULL: none yet */
    int64_t                 read;       /* when */

    struct logic_askers_s   askers;
    logic_rooms_t          *next;       /* being read; NULL: nothing is */
    char                  **keys;       /* of the zones */
    size_t                  nkeys;
    size_t                  zone;       /* the one being read */
};


static void logic_top_start(logic_top_t *top);
static int logic_top_zones(logic_top_t *top);
static void logic_top_scan(logic_top_t *top, const char *cursor);
static void logic_top_scanned(svc_redis_t *r, redisReply *reply, void *data);
static void logic_top_end(logic_top_t *top, const char *error);
static void logic_top_answer(logic_top_t *top, http_request_t *req,
    const char *type, size_t limit);


int
logic_top_init(logic_thread_t *t)
{
    logic_top_t  *top;

    top = calloc(1, sizeof(logic_top_t));
    if (top == NULL) {
        return -1;
    }

    top->thread = t;
    TAILQ_INIT(&top->askers);
    t->top = top;

    return 0;
}


void
logic_top_free(logic_thread_t *t)
{
    logic_rooms_free(t->top->rooms);
    free(t->top);
}


void
logic_online_top(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    int64_t         limit;
    const char     *type;
    logic_top_t    *top;
    logic_asker_t  *asker;

    type = logic_http_need(t, req, q, "type");

    if (type == NULL
        || logic_http_number(t, req, q, "limit", 1, 1, INT32_MAX, &limit)
           != 0)
    {
        return;
    }

    top = t->top;

    if (top->rooms != NULL && svc_now() - top->read < t->conf->top_cache) {
        logic_top_answer(top, req, type, (size_t) limit);
        return;
    }

    asker = malloc(sizeof(logic_asker_t) + strlen(type) + 1);

    if (asker == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    asker->req = req;
    asker->limit = (size_t) limit;
    strcpy(asker->type, type);

    TAILQ_INSERT_TAIL(&top->askers, asker, entry);

    if (top->next == NULL) {
        logic_top_start(top);
    }
}


static void
logic_top_start(logic_top_t *top)
{
    top->next = logic_rooms_new((size_t) top->thread->conf->max_rooms);
    top->zone = 0;

    if (top->next == NULL || logic_top_zones(top) != 0) {
        logic_top_end(top, "no memory");
        return;
    }

    logic_top_scan(top, "0");
}


static int
logic_top_zones(logic_top_t *top)
{
    char                    key[LOGIC_KEY_BUF];
    size_t                  i, k, n, count;
    const registry_node_t  *nodes;
    const Goim__Register   *info;

    n = registry_nodes(top->thread->registry, &nodes);
    count = 0;

    for (i = 0; i < n; i++) {
        count += nodes[i].renewed;
    }

    top->keys = calloc(count + 1, sizeof(char *));
    if (top->keys == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        for (k = 0; k < nodes[i].renewed; k++) {
            info = nodes[i].zone[k]->info;

            if (!logic_zone_valid(info->server, info->zone)) {
                continue;
            }

            top->keys[top->nkeys] = strndup(key, logic_online_key(
                top->thread, key, info->server, info->zone));

            if (top->keys[top->nkeys++] == NULL) {
                return -1;
            }
        }
    }

    return 0;
}


static void
logic_top_scan(logic_top_t *top, const char *cursor)
{
    if (!svc_redis_is_up(top->thread->redis)) {
        logic_top_end(top, "redis is away");
        return;
    }

    if (top->zone == top->nkeys) {
        logic_top_end(top, NULL);
        return;
    }

    if (svc_redis_callf(top->thread->redis, logic_top_scanned, top,
                        "HSCAN %s %s COUNT " LOGIC_TOP_COUNT,
                        top->keys[top->zone], cursor)
        != 0)
    {
        logic_top_end(top, "redis is away");
    }
}


static void
logic_top_scanned(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_top_t  *top = data;

    size_t       i;
    int64_t      count;
    redisReply  *list;

    (void) r;

    if (svc_redis_class(reply) == SVC_REDIS_TYPE) {
        /* the zone's next call puts it right */
        metrics_add(logic_m.broken, 1);
        top->zone++;
        logic_top_scan(top, "0");
        return;
    }

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        logic_redis_said("online: HSCAN", reply);
        logic_top_end(top, "redis did not answer");
        return;
    }

    list = reply->element[1];

    for (i = 0; i + 1 < list->elements; i += 2) {

        if (list->element[i]->type != REDIS_REPLY_STRING
            || list->element[i + 1]->type != REDIS_REPLY_STRING)
        {
            continue;
        }

        count = strtoll(list->element[i + 1]->str, NULL, 10);

        if (count > 0 && count <= UINT32_MAX
            && logic_rooms_add(top->next, list->element[i]->str,
                               list->element[i]->len,
                               (uint32_t) top->zone + 1, count)
               != 0)
        {
            metrics_add(logic_m.rooms_full, 1);
        }
    }

    if (strcmp(reply->element[0]->str, "0") == 0) {
        top->zone++;
    }

    logic_top_scan(top, reply->element[0]->str);
}


static void
logic_top_end(logic_top_t *top, const char *error)
{
    size_t          i;
    logic_asker_t  *asker;

    for (i = 0; i < top->nkeys; i++) {
        free(top->keys[i]);
    }

    free(top->keys);
    top->keys = NULL;
    top->nkeys = 0;

    if (error == NULL) {
        logic_rooms_free(top->rooms);
        top->rooms = top->next;
        top->read = svc_now();

    } else {
        logic_rooms_free(top->next);
    }

    top->next = NULL;

    while ((asker = TAILQ_FIRST(&top->askers)) != NULL) {
        TAILQ_REMOVE(&top->askers, asker, entry);

        if (error == NULL) {
            logic_top_answer(top, asker->req, asker->type, asker->limit);

        } else {
            logic_http_failed(top->thread, asker->req, error);
        }

        free(asker);
    }
}


static void
logic_top_answer(logic_top_t *top, http_request_t *req,
    const char *type, size_t limit)
{
    size_t         i, n;
    json_t        *list, *item;
    const char    *id;
    logic_room_t  *rooms;

    rooms = logic_rooms_top(top->rooms, type, limit, &n);

    if (rooms == NULL) {
        logic_http_failed(top->thread, req, "no memory");
        return;
    }

    list = json_array();

    for (i = 0; i < n; i++) {
        id = memmem(rooms[i].room, rooms[i].len, "://", 3);
        id = id != NULL ? id + 3 : rooms[i].room;

        /* a room of bytes that are no UTF-8 has no name in JSON */

        item = json_pack("{s:s%, s:I}", "room_id", id,
                         (int) (rooms[i].room + rooms[i].len - id), "count",
                         (json_int_t) rooms[i].count);
        if (item != NULL) {
            json_array_append_new(list, item);
        }
    }

    free(rooms);

    logic_http_answer(top->thread, req, 200, 0, "", list);
}
