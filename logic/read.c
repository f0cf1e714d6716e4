/*
 * A room's history, for backends: where it stands, and pages of it. What is
 * kept, and by how many partitions rooms have their home, is asked first: job
 * says it (goim:history).
 */

#include "read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_position.h"
#include "logic/lua/read.lua.h"
#include "proto/goim.pb-c.h"
#include "svc/history.h"

#define LOGIC_READ_LIMIT  100           /* items a page */
#define LOGIC_READ_BYTES  "1048576"     /* or one item */
#define LOGIC_READ_TRIES  3
#define LOGIC_READ_OF     160
#define LOGIC_READ_KEY    (GOIM_PREFIX_MAX + GOIM_ROOM_MAX + 64)

#define LOGIC_READ_SEQ    (1LL << 52)   /* Lua's numbers take it */


static svc_script_t  logic_read_script = { .body = read_lua };


/* A request on its way. */
typedef struct {
    logic_thread_t  *thread;
    http_request_t  *req;
    int              items;         /* they are asked for, too */
    const char      *what;          /* of what read.lua knows */
    int64_t          number;
    int64_t          limit;
    unsigned         tries;
    char             room[];        /* its key */
} logic_read_t;


static logic_read_t *logic_read_new(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
static void logic_read_start(logic_read_t *rd);
static void logic_read_known(svc_redis_t *r, redisReply *reply, void *data);
static int logic_read_eval(logic_read_t *rd, const char *of, uint32_t n);
static void logic_read_got(svc_redis_t *r, redisReply *reply, void *data);
static int logic_read_fits(const redisReply *reply);
static json_t *logic_read_item(const redisReply *seq,
    const redisReply *packed);
static json_t *logic_read_base64(const uint8_t *data, size_t len);
static void logic_read_end(logic_read_t *rd, const char *error, json_t *data);


/* NULL: answered. */

static logic_read_t *
logic_read_new(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    size_t         len;
    const char    *type, *room;
    logic_read_t  *rd;

    type = logic_http_need(t, req, q, "type");
    room = type == NULL ? NULL : logic_http_need(t, req, q, "room");

    if (room == NULL) {
        return NULL;
    }

    len = strlen(type) + 3 + strlen(room);

    if (len > GOIM_ROOM_MAX) {
        logic_http_bad(t, req, "room: type and room have more than %d bytes",
                       GOIM_ROOM_MAX);
        return NULL;
    }

    rd = calloc(1, sizeof(logic_read_t) + len + 1);

    if (rd == NULL) {
        logic_http_failed(t, req, "no memory");
        return NULL;
    }

    rd->thread = t;
    rd->req = req;
    rd->what = "last";
    rd->limit = LOGIC_READ_LIMIT;
    sprintf(rd->room, "%s://%s", type, room);

    return rd;
}


void
logic_room_position(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    logic_read_t  *rd;

    rd = logic_read_new(t, req, q);

    if (rd != NULL) {
        logic_read_start(rd);       /* the newest 0 */
    }
}


void
logic_room_history(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    int64_t        after, before, limit;
    logic_read_t  *rd;

    if (logic_http_number(t, req, q, "after", 0, 0, LOGIC_READ_SEQ, &after)
        || logic_http_number(t, req, q, "before", 0, 0, LOGIC_READ_SEQ,
                             &before)
        || logic_http_number(t, req, q, "limit", 0, 0, LOGIC_READ_LIMIT,
                             &limit))
    {
        return;
    }

    if (logic_query_find(q, "after") && logic_query_find(q, "before")) {
        logic_http_bad(t, req, "before: not with after");
        return;
    }

    rd = logic_read_new(t, req, q);

    if (rd == NULL) {
        return;
    }

    rd->items = 1;
    rd->limit = limit > 0 ? limit : LOGIC_READ_LIMIT;
    rd->number = rd->limit;

    if (logic_query_find(q, "after")) {
        rd->what = "after";
        rd->number = after;

    } else if (logic_query_find(q, "before")) {
        rd->what = "before";
        rd->number = before;
    }

    logic_read_start(rd);
}


/* ---- Redis -------------------------------------------------------------- */

static void
logic_read_start(logic_read_t *rd)
{
    char    key[LOGIC_KEY_BUF];
    size_t  len;

    len = logic_redis_key(rd->thread, key, "goim:", "history", 7);

    if (rd->tries++ == LOGIC_READ_TRIES
        || svc_redis_callf(rd->thread->redis, logic_read_known, rd,
                           "HMGET %b text of partitions", key, len) != 0)
    {
        logic_read_end(rd, "redis is away", NULL);
    }
}


static void
logic_read_known(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_read_t  *rd = data;

    size_t         i;
    uint32_t       n;
    history_t      history;
    redisReply   **e;

    (void) r;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 3)
    {
        logic_redis_said("history: HMGET", reply);
        logic_read_end(rd, "redis did not answer", NULL);
        return;
    }

    e = reply->element;

    for (i = 0; i < 3 && e[i]->type == REDIS_REPLY_STRING; i++) {
        /* void */
    }

    n = i == 3 ? (uint32_t) strtoul(e[2]->str, NULL, 10) : 0;

    if (n == 0 || e[1]->len >= LOGIC_READ_OF
        || history_parse(&history, e[0]->str) != 0
        || history_find(&history, rd->room) == NULL)
    {
        logic_read_end(rd, NULL, json_null());
        return;
    }

    if (logic_read_eval(rd, e[1]->str, n) != 0) {
        logic_read_end(rd, "redis is away", NULL);
    }
}


static int
logic_read_eval(logic_read_t *rd, const char *of, uint32_t n)
{
    int           i;
    char          key[6][LOGIC_READ_KEY], life[24], number[24], limit[24];
    char          word[HISTORY_WORD + 1];
    uint32_t      home;
    const char   *argv[15], *prefix;
    svc_redis_t  *r;

    r = rd->thread->redis;
    prefix = svc_redis_prefix(r);
    home = goim_partition(rd->room, strlen(rd->room), n);

    snprintf(key[0], LOGIC_READ_KEY, "%sgoim:life", prefix);
    snprintf(key[1], LOGIC_READ_KEY, "%sgoim:history", prefix);
    snprintf(key[2], LOGIC_READ_KEY, "%sgoim:{%u}:done", prefix, home);
    snprintf(key[3], LOGIC_READ_KEY, "%sgoim:{%u}:meta:%s", prefix, home,
             rd->room);
    snprintf(key[4], LOGIC_READ_KEY, "%sgoim:{%u}:items:%s", prefix, home,
             rd->room);
    snprintf(key[5], LOGIC_READ_KEY, "%sgoim:{%u}:rooms", prefix, home);

    for (i = 0; i < 6; i++) {
        argv[i] = key[i];
    }

    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(r));
    snprintf(number, sizeof(number), "%" PRId64, rd->number);
    snprintf(limit, sizeof(limit), "%" PRId64, rd->limit);
    history_word(word);

    argv[6] = life;
    argv[7] = of;
    argv[8] = rd->room;
    argv[9] = "";
    argv[10] = rd->what;
    argv[11] = number;
    argv[12] = limit;
    argv[13] = LOGIC_READ_BYTES;
    argv[14] = word;

    return svc_redis_eval(r, &logic_read_script, logic_read_got, rd, 6, 15,
                          argv, NULL);
}


static void
logic_read_got(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_read_t  *rd = data;

    size_t        i;
    json_t       *answer, *items;
    redisReply  **e;

    (void) r;

    if (reply != NULL && reply->type == REDIS_REPLY_STRING
        && strcmp(reply->str, "HISTORY") == 0)
    {
        logic_read_start(rd);           /* it has just changed */
        return;
    }

    if (!logic_read_fits(reply)) {
        logic_redis_said("history: read", reply);
        logic_read_end(rd, "redis did not answer", NULL);
        return;
    }

    e = reply->element;

    answer = json_pack("{s:s, s:I, s:I}", "epoch", e[1]->str, "seq",
                       (json_int_t) e[3]->integer, "first",
                       (json_int_t) e[2]->integer);

    if (rd->items && strcmp(e[0]->str, "CANNOT") == 0) {
        json_object_set_new(answer, "items", json_null());

    } else if (rd->items) {
        items = json_array();

        for (i = 4; i < reply->elements; i += 2) {
            json_array_append_new(items, logic_read_item(e[i], e[i + 1]));
        }

        json_object_set_new(answer, "items", items);
    }

    logic_read_end(rd, NULL, answer);
}


static int
logic_read_fits(const redisReply *reply)
{
    size_t  i;

    static const int  types[] = {
        REDIS_REPLY_STRING, REDIS_REPLY_STRING, REDIS_REPLY_INTEGER,
        REDIS_REPLY_INTEGER
    };

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements < 4 || reply->elements % 2 != 0)
    {
        return 0;
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type
            != (i < 4 ? types[i] : i % 2 == 0 ? REDIS_REPLY_INTEGER
                                              : REDIS_REPLY_STRING))
        {
            return 0;
        }
    }

    return 1;
}


/* ---- the answer --------------------------------------------------------- */

static json_t *
logic_read_item(const redisReply *seq, const redisReply *packed)
{
    json_t        *item, *body;
    Goim__Record  *record;

    record = goim__record__unpack(NULL, packed->len,
                                  (const uint8_t *) packed->str);

    if (record == NULL) {
        return json_pack("{s:I, s:n}", "seq", (json_int_t) seq->integer,
                         "body");
    }

    item = json_pack("{s:I, s:i}", "seq", (json_int_t) seq->integer,
                     "operation", (int) record->operation);

    /* an empty one has no address */
    body = json_stringn(record->body.len ? (char *) record->body.data : "",
                        record->body.len);

    if (body != NULL) {
        json_object_set_new(item, "body", body);

    } else {
        json_object_set_new(item, "base64",
                            logic_read_base64(record->body.data,
                                              record->body.len));
    }

    goim__record__free_unpacked(record, NULL);

    return item;
}


static json_t *
logic_read_base64(const uint8_t *data, size_t len)
{
    char      *text, *p;
    size_t     i;
    json_t    *json;
    uint32_t   n;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    text = malloc((len + 2) / 3 * 4 + 1);
    if (text == NULL) {
        abort();
    }

    for (i = 0, p = text; i < len; i += 3, p += 4) {
        n = (uint32_t) data[i] << 16;
        n |= i + 1 < len ? (uint32_t) data[i + 1] << 8 : 0;
        n |= i + 2 < len ? data[i + 2] : 0;

        p[0] = digits[n >> 18];
        p[1] = digits[n >> 12 & 63];
        p[2] = i + 1 < len ? digits[n >> 6 & 63] : '=';
        p[3] = i + 2 < len ? digits[n & 63] : '=';
    }

    json = json_stringn(text, (size_t) (p - text));
    free(text);

    return json;
}


static void
logic_read_end(logic_read_t *rd, const char *error, json_t *data)
{
    if (error != NULL) {
        logic_http_failed(rd->thread, rd->req, error);

    } else {
        logic_http_answer(rd->thread, rd->req, 200, 0, "", data);
    }

    free(rd);
}
