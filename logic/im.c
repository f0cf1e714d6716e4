/*
 * Commands between people: from the HTTP API to the bus, and job's answer.
 */

#include "im.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_IM_TIME   4000        /* ms, until it is answered -504 */
#define LOGIC_IM_MOST   10000       /* requests that wait, of a thread */


struct logic_im_ask_s {
    LIST_ENTRY(logic_im_ask_s)  entry;
    logic_im_t                 *im;
    http_request_t             *req;
    struct event               *timer;
    uint64_t                    request;
    int                         produced;   /* the bus has said something */
    int                         answered;
    int                         item;       /* the answer has its number */
    char                        conv[GOIM_IM_CONV + 1];
};


/* ---- parameters ---- */

int
logic_im_who(logic_thread_t *t, http_request_t *req, const logic_query_t *q,
    int64_t *mid)
{
    if (t->im == NULL) {
        logic_http_answer(t, req, 404, -404, "no such route or method", NULL);
        return -1;
    }

    return logic_http_number(t, req, q, "mid", 1, 1, INT64_MAX, mid);
}


static const char *
logic_im_word(logic_thread_t *t, http_request_t *req, const logic_query_t *q,
    const char *name, size_t max)
{
    const char  *text;

    text = logic_http_need(t, req, q, name);

    if (text != NULL && !im_word(text, max)) {
        logic_http_bad(t, req, "%s: 1 to %zu visible characters of ASCII",
                       name, max);
        return NULL;
    }

    return text;
}


const char *
logic_im_conv(logic_thread_t *t, http_request_t *req, const logic_query_t *q,
    int64_t mid)
{
    int64_t      low, high;
    im_type_t    type;
    const char  *conv;

    conv = logic_http_need(t, req, q, "conv");

    if (conv == NULL) {
        return NULL;
    }

    type = strlen(conv) > GOIM_IM_CONV ? IM_NONE : im_conv(conv, &low, &high);

    if (type == IM_NONE) {
        logic_http_bad(t, req, "conv: neither p<mid>.<mid> nor g<mid>.<id>");
        return NULL;
    }

    if (type == IM_PAIR && mid != low && mid != high) {
        logic_http_answer(t, req, 403, -403, "not a member", NULL);
        return NULL;
    }

    return conv;
}


/* "2", or a group: the conversation. -1: answered. */

static int
logic_im_to(logic_thread_t *t, http_request_t *req, const logic_query_t *q,
    int64_t mid, char *conv)
{
    char        *end;
    int64_t      low, high;
    const char  *to;

    to = logic_http_need(t, req, q, "to");

    if (to == NULL) {
        return -1;
    }

    if (strlen(to) <= GOIM_IM_CONV && im_conv(to, &low, &high) == IM_GROUP) {
        strcpy(conv, to);
        return 0;
    }

    low = strtoll(to, &end, 10);

    if (to[0] < '1' || to[0] > '9' || *end != '\0' || low == INT64_MAX) {
        logic_http_bad(t, req, "to: neither a mid nor g<mid>.<id>");
        return -1;
    }

    im_pair(conv, mid, low);

    return 0;
}


/* ---- a request that waits ---- */

static void
logic_im_unref(logic_im_ask_t *ask)
{
    if (!ask->produced || !ask->answered) {
        return;
    }

    event_free(ask->timer);
    free(ask);
}


static void
logic_im_end(logic_im_ask_t *ask, int code, const char *message,
    const Goim__ImReply *reply)
{
    json_t  *data;

    if (ask->answered) {
        return;
    }

    data = NULL;

    if (code == 0 && ask->item && reply != NULL) {
        data = json_pack("{s:s, s:I, s:I}", "conv", ask->conv, "seq",
                         (json_int_t) reply->seq, "at",
                         (json_int_t) reply->at);
    }

    logic_http_answer(ask->im->thread, ask->req,
                      code == -400 ? 400 : code == -403 ? 403
                      : code == -404 ? 404 : 200, code, message, data);

    ask->answered = 1;
    ask->im->asked--;
    LIST_REMOVE(ask, entry);
    event_del(ask->timer);
}


static void
logic_im_answered(logic_im_t *im, const Goim__ImReply *reply)
{
    logic_im_ask_t  *ask;

    LIST_FOREACH(ask, &im->asks[reply->request & (LOGIC_IM_ASKS - 1)], entry)
    {
        if (ask->request == reply->request) {
            logic_im_end(ask, reply->code, reply->message, reply);
            logic_im_unref(ask);
            return;
        }
    }
}


static void
logic_im_late(evutil_socket_t fd, short what, void *data)
{
    logic_im_ask_t  *ask = data;

    (void) fd;
    (void) what;

    logic_im_end(ask, -504, "no answer in time: the same again, with the same "
                 "id, does no harm", NULL);
    logic_im_unref(ask);
}


static void
logic_im_produced(bus_result_t result, void *data)
{
    logic_im_ask_t  *ask = data;

    ask->produced = 1;

    if (result == BUS_FAILED) {
        logic_im_end(ask, -500, "the bus did not take it", NULL);
    }

    /* a record that is perhaps there may be carried out: it is waited for */

    logic_im_unref(ask);
}


static size_t
logic_im_pack(const void *what, uint8_t *payload)
{
    return goim__im_command__pack(what, payload);
}


static void
logic_im_ask(logic_thread_t *t, http_request_t *req, Goim__ImCommand *c)
{
    logic_im_t      *im;
    bus_message_t    m;
    logic_im_ask_t  *ask;

    im = t->im;

    if (im->asked >= LOGIC_IM_MOST || bus_producer_down(im->bus)) {
        logic_http_answer(t, req, 200, -500, im->asked >= LOGIC_IM_MOST
                          ? "too many requests wait" : "the bus is away",
                          NULL);
        return;
    }

    ask = calloc(1, sizeof(logic_im_ask_t));

    if (ask == NULL
        || (ask->timer = evtimer_new(t->base, logic_im_late, ask)) == NULL)
    {
        free(ask);
        logic_http_failed(t, req, "no memory");
        return;
    }

    ask->im = im;
    ask->req = req;
    ask->request = ++im->request;
    ask->item = c->do_ != GOIM__IM_COMMAND__DO__READ;
    strcpy(ask->conv, c->conv);
    LIST_INSERT_HEAD(&im->asks[ask->request & (LOGIC_IM_ASKS - 1)], ask,
                     entry);
    im->asked++;
    svc_timer(ask->timer, LOGIC_IM_TIME);

    c->logic = (char *) logic_im_replies_name(im->replies);
    c->request = ask->request;
    c->at = svc_date();

    memset(&m, 0, sizeof(m));
    m.key = c->conv;
    m.key_len = strlen(c->conv);
    m.len = goim__im_command__get_packed_size(c);
    m.pack = logic_im_pack;
    m.what = c;
    m.from = t->from;
    m.timeout = LOGIC_IM_TIME - 500;
    m.cb = logic_im_produced;
    m.data = ask;

    bus_produce(im->bus, &m);
}


/* ---- routes ---- */

static int
logic_im_body(logic_thread_t *t, http_request_t *req, const logic_query_t *q)
{
    if (q->msg_len > GOIM_IM_BODY) {
        logic_http_answer(t, req, 413, -413, "the payload has more than 64 KB",
                          NULL);
        return -1;
    }

    return 0;
}


void
logic_im_send(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    char             conv[GOIM_IM_CONV + 1];
    int64_t          mid;
    const char      *id, *kind;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if (logic_im_who(t, req, q, &mid) != 0
        || logic_im_to(t, req, q, mid, conv) != 0
        || (id = logic_im_word(t, req, q, "id", GOIM_IM_ID)) == NULL
        || logic_im_body(t, req, q) != 0)
    {
        return;
    }

    kind = "msg";

    if (logic_query_find(q, "kind") != NULL
        && (kind = logic_im_word(t, req, q, "kind", GOIM_IM_KIND)) == NULL)
    {
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__SEND;
    c.mid = mid;
    c.conv = conv;
    c.id = (char *) id;
    c.kind = (char *) kind;
    c.body.data = (uint8_t *) q->msg;
    c.body.len = q->msg_len;

    logic_im_ask(t, req, &c);
}


void
logic_im_mark(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    int64_t          mid, read;
    const char      *conv;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if (logic_im_who(t, req, q, &mid) != 0
        || (conv = logic_im_conv(t, req, q, mid)) == NULL
        || logic_http_number(t, req, q, "read", 1, 1, GOIM_SEQ_MAX, &read)
           != 0)
    {
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__READ;
    c.mid = mid;
    c.conv = (char *) conv;
    c.seq = (uint64_t) read;

    logic_im_ask(t, req, &c);
}


void
logic_im_create(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    char             conv[GOIM_IM_CONV + 1];
    size_t           i, n;
    int64_t          mid, *mids;
    const char      *id;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if (logic_im_who(t, req, q, &mid) != 0
        || (id = logic_im_word(t, req, q, "id", GOIM_IM_ID)) == NULL)
    {
        return;
    }

    n = logic_query_count(q, "mids");

    if (n >= GOIM_IM_MEMBERS) {
        logic_http_answer(t, req, 409, -409, "a group of over 500 members",
                          NULL);
        return;
    }

    mids = http_alloc(req, (n + 1) * sizeof(int64_t));

    if (mids == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    for (i = 0; i < q->nargs; i++) {
        if (strcmp(q->args[i].name, "mids") != 0) {
            continue;
        }

        if (logic_query_number(&q->args[i], 1, INT64_MAX,
                               &mids[c.n_mids++]) != 0)
        {
            logic_http_bad(t, req, "mids: not a mid");
            return;
        }
    }

    snprintf(conv, sizeof(conv), "g%lld.%s", (long long) mid, id);

    c.do_ = GOIM__IM_COMMAND__DO__CREATE;
    c.mid = mid;
    c.conv = conv;
    c.mids = mids;

    logic_im_ask(t, req, &c);
}


/* ---- start and end ---- */

int
logic_im_start(logic_thread_t *t, char *err, size_t size)
{
    size_t       i;
    logic_im_t  *im;

    if (t->conf->im_db[0] == '\0') {
        return 0;
    }

    im = calloc(1, sizeof(logic_im_t));
    if (im == NULL) {
        return -1;
    }

    t->im = im;
    im->thread = t;
    im->bus_conf = t->conf->bus;
    im->bus_conf.name = "im";
    im->bus_conf.topic = t->conf->im_topic;

    for (i = 0; i < LOGIC_IM_ASKS; i++) {
        LIST_INIT(&im->asks[i]);
    }

    im->db = db_open(t->base, t->conf->im_db);
    im->replies = logic_im_replies_new(im, t, logic_im_answered);

    if (im->db == NULL || im->replies == NULL) {
        return -1;
    }

    im->bus = bus_producer_new(t->base, &im->bus_conf, t->redis, err, size);

    return im->bus != NULL ? 0 : -1;
}


/* Nothing waits for an answer: requests are all answered. */

void
logic_im_free(logic_thread_t *t)
{
    logic_im_t  *im;

    im = t->im;

    if (im == NULL) {
        return;
    }

    bus_producer_free(im->bus);
    logic_im_replies_free(im->replies);
    db_close(im->db);
    free(im);
}
