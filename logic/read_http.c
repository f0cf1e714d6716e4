/*
 * A room's history, for backends: where it stands, and pages of it.
 */

#include "read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/goim.pb-c.h"

#define LOGIC_READ_BYTES  (1024 * 1024)     /* or one item */
#define LOGIC_READ_SEQ    (1LL << 52)       /* Lua's numbers take it */


typedef struct {
    logic_read_t     read;
    http_request_t  *req;
    int              items;             /* they are asked for, too */
    char             room[];            /* its key */
} logic_request_t;


static logic_request_t *logic_request_new(logic_thread_t *t,
    http_request_t *req, logic_query_t *q);
static void logic_request_done(logic_read_t *rd);
static json_t *logic_request_item(const redisReply *seq,
    const redisReply *packed);
static json_t *logic_request_base64(const uint8_t *data, size_t len);


/* NULL: answered. */

static logic_request_t *
logic_request_new(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    size_t            len;
    const char       *type, *room;
    logic_request_t  *rq;

    len = logic_http_room(t, req, q, &type, &room);

    if (len == 0) {
        return NULL;
    }

    rq = calloc(1, sizeof(logic_request_t) + len + 1);

    if (rq == NULL) {
        logic_http_failed(t, req, "no memory");
        return NULL;
    }

    rq->req = req;
    sprintf(rq->room, "%s://%s", type, room);

    rq->read.thread = t;
    rq->read.room = rq->room;
    rq->read.want = "";
    rq->read.what = "last";
    rq->read.limit = LOGIC_READ_LIMIT;
    rq->read.bytes = LOGIC_READ_BYTES;
    rq->read.done = logic_request_done;

    return rq;
}


void
logic_room_position(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    logic_request_t  *rq;

    rq = logic_request_new(t, req, q);

    if (rq != NULL) {
        logic_read(&rq->read);      /* the newest 0 */
    }
}


void
logic_room_history(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    int64_t           after, before, limit;
    logic_request_t  *rq;

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

    rq = logic_request_new(t, req, q);

    if (rq == NULL) {
        return;
    }

    rq->items = 1;
    rq->read.limit = limit > 0 ? (uint32_t) limit : LOGIC_READ_LIMIT;
    rq->read.number = rq->read.limit;

    if (logic_query_find(q, "after")) {
        rq->read.what = "after";
        rq->read.number = (uint64_t) after;

    } else if (logic_query_find(q, "before")) {
        rq->read.what = "before";
        rq->read.number = (uint64_t) before;
    }

    logic_read(&rq->read);
}


/* ---- the answer --------------------------------------------------------- */

static void
logic_request_done(logic_read_t *rd)
{
    size_t            i;
    json_t           *answer, *items;
    logic_request_t  *rq;

    rq = (logic_request_t *) rd;

    if (rd->status == LOGIC_READ_FAILED) {
        logic_http_failed(rd->thread, rq->req, rd->error);
        free(rq);
        return;
    }

    if (rd->status == LOGIC_READ_NONE) {
        answer = json_null();

    } else {
        answer = json_pack("{s:s, s:I, s:I}", "epoch", rd->epoch, "seq",
                           (json_int_t) rd->head, "first",
                           (json_int_t) rd->first);
    }

    if (rq->items && rd->status == LOGIC_READ_CANNOT) {
        json_object_set_new(answer, "items", json_null());

    } else if (rq->items && rd->status != LOGIC_READ_NONE) {
        items = json_array();

        for (i = 0; i < rd->n; i++) {
            json_array_append_new(items,
                                  logic_request_item(rd->items[2 * i],
                                                     rd->items[2 * i + 1]));
        }

        json_object_set_new(answer, "items", items);
    }

    logic_http_answer(rd->thread, rq->req, 200, 0, "", answer);
    free(rq);
}


static json_t *
logic_request_item(const redisReply *seq, const redisReply *packed)
{
    json_t        *item, *body;
    Goim__Record  *record;

    record = goim__record__unpack(NULL, packed->len,
                                  (const uint8_t *) packed->str);

    if (record == NULL) {
        abort();                /* it parsed before: no memory */
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
                            logic_request_base64(record->body.data,
                                              record->body.len));
    }

    goim__record__free_unpacked(record, NULL);

    return item;
}


static json_t *
logic_request_base64(const uint8_t *data, size_t len)
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
