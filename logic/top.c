/*
 * online/top: the rooms with the most in them. Redis keeps them in that order
 * (goim:online); what was read of a type is kept for a moment. Whoever asks
 * while it is being read waits for it.
 */

#include "online.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_TOP_CHUNK  1000       /* rooms a reading */
#define LOGIC_TOP_LISTS  16         /* types kept */


typedef struct logic_asker_s  logic_asker_t;
typedef struct logic_list_s   logic_list_t;

struct logic_asker_s {
    TAILQ_ENTRY(logic_asker_s)  entry;
    http_request_t             *req;
    size_t                      limit;
};

TAILQ_HEAD(logic_askers_s, logic_asker_s);
TAILQ_HEAD(logic_lists_s, logic_list_s);

/* The largest rooms whose keys begin with a type. */
struct logic_list_s {
    TAILQ_ENTRY(logic_list_s)  entry;
    logic_top_t               *top;
    char                      *type;
    size_t                     len;

    json_t                    *rows;    /* NULL: none yet */
    size_t                     limit;   /* no more were wanted */
    int64_t                    read;    /* when */

    struct logic_askers_s      askers;
    json_t                    *next;    /* being read; NULL: nothing is */
    size_t                     wanted;
    size_t                     offset;
    double                     score;   /* of the last one, */
    char                      *room;    /* and its name */
    unsigned                   busy:1;  /* answers go out */
};

struct logic_top_s {
    logic_thread_t        *thread;
    struct logic_lists_s   lists;       /* the newest first */
    size_t                 nlists;
};


static logic_list_t *logic_list_get(logic_top_t *top, const char *type);
static void logic_list_free(logic_list_t *l);
static void logic_list_start(logic_list_t *l);
static void logic_list_read(logic_list_t *l);
static void logic_list_got(svc_redis_t *r, redisReply *reply, void *data);
static int logic_list_after(logic_list_t *l, const redisReply *room,
    double score);
static void logic_list_add(logic_list_t *l, const redisReply *room,
    double score);
static void logic_list_end(logic_list_t *l, const char *error);
static void logic_list_answer(logic_list_t *l, http_request_t *req,
    size_t limit);


int
logic_top_init(logic_thread_t *t)
{
    logic_top_t  *top;

    top = calloc(1, sizeof(logic_top_t));
    if (top == NULL) {
        return -1;
    }

    top->thread = t;
    TAILQ_INIT(&top->lists);
    t->top = top;

    return 0;
}


void
logic_top_free(logic_thread_t *t)
{
    logic_list_t  *l;

    while ((l = TAILQ_FIRST(&t->top->lists)) != NULL) {
        logic_list_free(l);
    }

    free(t->top);
}


void
logic_online_top(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    int64_t         limit;
    const char     *type;
    logic_list_t   *l;
    logic_asker_t  *asker;

    type = logic_http_type(t, req, q);

    if (type == NULL
        || logic_http_number(t, req, q, "limit", 1, 1, INT32_MAX, &limit)
           != 0)
    {
        return;
    }

    if (limit > t->conf->max_rooms) {
        limit = t->conf->max_rooms;
    }

    l = logic_list_get(t->top, type);
    asker = malloc(sizeof(logic_asker_t));

    if (l == NULL || asker == NULL) {
        free(asker);
        logic_http_failed(t, req, "no memory");
        return;
    }

    if (l->rows != NULL && l->limit >= (size_t) limit
        && svc_now() - l->read < t->conf->top_cache)
    {
        free(asker);
        logic_list_answer(l, req, (size_t) limit);
        return;
    }

    asker->req = req;
    asker->limit = (size_t) limit;
    TAILQ_INSERT_TAIL(&l->askers, asker, entry);

    if (l->next == NULL) {
        logic_list_start(l);
    }
}


/* ---- the lists that are kept ------------------------------------------- */

static logic_list_t *
logic_list_get(logic_top_t *top, const char *type)
{
    logic_list_t  *l;

    TAILQ_FOREACH(l, &top->lists, entry) {
        if (strcmp(l->type, type) == 0) {
            return l;
        }
    }

    TAILQ_FOREACH_REVERSE(l, &top->lists, logic_lists_s, entry) {
        if (top->nlists < LOGIC_TOP_LISTS) {
            break;
        }

        if (l->next == NULL && !l->busy) {
            logic_list_free(l);
            break;
        }
    }

    l = calloc(1, sizeof(logic_list_t));
    if (l == NULL) {
        return NULL;
    }

    l->top = top;
    l->type = strdup(type);

    if (l->type == NULL) {
        free(l);
        return NULL;
    }

    l->len = strlen(type);
    TAILQ_INIT(&l->askers);
    TAILQ_INSERT_HEAD(&top->lists, l, entry);
    top->nlists++;

    return l;
}


static void
logic_list_free(logic_list_t *l)
{
    TAILQ_REMOVE(&l->top->lists, l, entry);
    l->top->nlists--;

    json_decref(l->rows);
    json_decref(l->next);
    free(l->room);
    free(l->type);
    free(l);
}


/* ---- reading one ------------------------------------------------------- */

static void
logic_list_start(logic_list_t *l)
{
    logic_asker_t  *asker;

    l->next = json_array();
    l->wanted = 0;
    l->offset = 0;

    free(l->room);
    l->room = NULL;

    TAILQ_FOREACH(asker, &l->askers, entry) {
        if (asker->limit > l->wanted) {
            l->wanted = asker->limit;
        }
    }

    if (l->next == NULL) {
        logic_list_end(l, "no memory");
        return;
    }

    logic_list_read(l);
}


static void
logic_list_read(logic_list_t *l)
{
    char             key[LOGIC_KEY_BUF], offset[24], chunk[24];
    size_t           len;
    logic_thread_t  *t;

    t = l->top->thread;
    len = logic_redis_key(t, key, "goim:", "online", 6);

    snprintf(offset, sizeof(offset), "%zu", l->offset);
    snprintf(chunk, sizeof(chunk), "%d", LOGIC_TOP_CHUNK);

    if (svc_redis_callf(t->redis, logic_list_got, l,
                        "ZRANGEBYSCORE %b -inf (0 WITHSCORES LIMIT %s %s",
                        key, len, offset, chunk)
        != 0)
    {
        logic_list_end(l, "redis is away");
    }
}


static void
logic_list_got(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_list_t  *l = data;

    double       score;
    size_t       i;
    redisReply  *room;

    (void) r;

    if (svc_redis_class(reply) == SVC_REDIS_TYPE) {
        /* the next call of a zone puts it right */
        metrics_add(logic_m.broken, 1);
        logic_list_end(l, NULL);
        return;
    }

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        logic_redis_said("online: ZRANGEBYSCORE", reply);
        logic_list_end(l, "redis did not answer");
        return;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {
        room = reply->element[i];

        if (room->type != REDIS_REPLY_STRING
            || reply->element[i + 1]->type != REDIS_REPLY_STRING)
        {
            continue;
        }

        score = strtod(reply->element[i + 1]->str, NULL);

        if (logic_list_after(l, room, score)) {
            logic_list_add(l, room, score);
        }
    }

    l->offset += LOGIC_TOP_CHUNK;

    if (reply->elements < 2 * LOGIC_TOP_CHUNK
        || json_array_size(l->next) >= l->wanted)
    {
        logic_list_end(l, NULL);

    } else if (l->offset >= (size_t) l->top->thread->conf->max_rooms) {
        metrics_add(logic_m.rooms_full, 1);
        logic_list_end(l, NULL);

    } else {
        logic_list_read(l);
    }
}


/* Whether it comes behind the last one: ranks move between two readings, and
 * nothing is told twice. */

static int
logic_list_after(logic_list_t *l, const redisReply *room, double score)
{
    int    rc;
    char  *name;

    rc = l->room == NULL || score > l->score
         || (score == l->score && strcmp(room->str, l->room) > 0);

    if (!rc) {
        return 0;
    }

    name = strdup(room->str);

    if (name != NULL) {
        free(l->room);
        l->room = name;
        l->score = score;
    }

    return 1;
}


static void
logic_list_add(logic_list_t *l, const redisReply *room, double score)
{
    json_t      *row;
    const char  *id;

    if (room->len < l->len || memcmp(room->str, l->type, l->len) != 0
        || json_array_size(l->next) == l->wanted)
    {
        return;
    }

    id = memmem(room->str, room->len, "://", 3);
    id = id != NULL ? id + 3 : room->str;

    /* a room of bytes that are no UTF-8 has no name in JSON */

    row = json_pack("{s:s%, s:I}", "room_id", id,
                    (int) (room->str + room->len - id), "count",
                    (json_int_t) -score);
    if (row != NULL) {
        json_array_append_new(l->next, row);
    }
}


static void
logic_list_end(logic_list_t *l, const char *error)
{
    logic_asker_t         *asker;
    struct logic_askers_s  askers;

    if (error == NULL) {
        json_decref(l->rows);
        l->rows = l->next;
        l->limit = l->wanted;
        l->read = svc_now();

    } else {
        json_decref(l->next);
    }

    l->next = NULL;

    /* who wants more than was read asks again */

    TAILQ_INIT(&askers);
    TAILQ_CONCAT(&askers, &l->askers, entry);
    l->busy = 1;

    while ((asker = TAILQ_FIRST(&askers)) != NULL) {
        TAILQ_REMOVE(&askers, asker, entry);

        if (error != NULL) {
            logic_http_failed(l->top->thread, asker->req, error);
            free(asker);

        } else if (asker->limit <= l->limit) {
            logic_list_answer(l, asker->req, asker->limit);
            free(asker);

        } else {
            TAILQ_INSERT_TAIL(&l->askers, asker, entry);
        }
    }

    l->busy = 0;

    if (!TAILQ_EMPTY(&l->askers) && l->next == NULL) {
        logic_list_start(l);
    }
}


static void
logic_list_answer(logic_list_t *l, http_request_t *req, size_t limit)
{
    size_t   i, n;
    json_t  *list;

    list = json_array();
    n = json_array_size(l->rows);

    for (i = 0; i < n && i < limit; i++) {
        json_array_append(list, json_array_get(l->rows, i));
    }

    logic_http_answer(l->top->thread, req, 200, 0, "", list);
}
