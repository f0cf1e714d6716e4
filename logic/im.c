/*
 * Commands that change something: to the bus, and job's answer.
 */

#include "im.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_IM_TIME   4000        /* ms, at most, until it is answered -504 */
#define LOGIC_IM_BUS    500         /* ms of them, that job and its answer have */
#define LOGIC_IM_MOST   10000       /* requests that wait, of a thread */


struct logic_im_ask_s {
    LIST_ENTRY(logic_im_ask_s)  entry;
    logic_im_t                 *im;
    logic_im_told_pt            told;
    void                       *door;
    struct event               *timer;
    uint64_t                    request;
    int                         produced;   /* the bus has said something */
    int                         answered;
    int                         item;       /* the answer has its number */
    char                        conv[GOIM_IM_CONV + 1];
};


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

    ask->answered = 1;
    ask->im->asked--;
    LIST_REMOVE(ask, entry);
    event_del(ask->timer);

    ask->told(ask->door, code, message, data);
}


static void
logic_im_answered(logic_thread_t *t, const Goim__ImReply *reply)
{
    logic_im_ask_t  *ask;

    LIST_FOREACH(ask, &t->im->asks[reply->request & (LOGIC_IM_ASKS - 1)], entry)
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
        logic_im_end(ask, -503, "it was not sent: try again", NULL);
    }

    /* a record that is perhaps there may be carried out: it is waited for */

    logic_im_unref(ask);
}


static size_t
logic_im_pack(const void *what, uint8_t *payload)
{
    return goim__im_command__pack(what, payload);
}


void
logic_im_ask(const logic_im_do_t *d, Goim__ImCommand *c)
{
    int64_t          left;
    logic_im_t      *im;
    bus_message_t    m;
    logic_thread_t  *t;
    logic_im_ask_t  *ask;

    t = d->thread;
    im = t->im;
    left = d->until - svc_now();

    if (left > LOGIC_IM_TIME) {
        left = LOGIC_IM_TIME;
    }

    if (left <= 0 || im->asked >= LOGIC_IM_MOST || bus_producer_down(im->bus)) {
        logic_im_answer(d, -503, im->asked >= LOGIC_IM_MOST ? "too many wait"
                        : left <= 0 ? "it took too long: try again"
                        : "the bus is away");
        return;
    }

    ask = calloc(1, sizeof(logic_im_ask_t));

    if (ask == NULL
        || (ask->timer = evtimer_new(t->base, logic_im_late, ask)) == NULL)
    {
        free(ask);
        logic_im_answer(d, -503, "no memory");
        return;
    }

    ask->told = d->told;
    ask->door = d->door;
    ask->im = im;
    ask->request = ++im->request;
    ask->item = c->do_ != GOIM__IM_COMMAND__DO__READ
                && c->do_ != GOIM__IM_COMMAND__DO__SETTINGS;
    strcpy(ask->conv, c->conv);
    LIST_INSERT_HEAD(&im->asks[ask->request & (LOGIC_IM_ASKS - 1)], ask,
                     entry);
    im->asked++;
    svc_timer(ask->timer, left);

    c->logic = (char *) logic_im_replies_name(im->replies);
    c->request = ask->request;
    c->mid = d->mid;
    c->at = svc_date();

    memset(&m, 0, sizeof(m));
    m.key = c->conv;
    m.key_len = strlen(c->conv);
    m.len = goim__im_command__get_packed_size(c);
    m.pack = logic_im_pack;
    m.what = c;
    m.from = t->from;
    m.timeout = left > 2 * LOGIC_IM_BUS ? left - LOGIC_IM_BUS : left / 2;
    m.cb = logic_im_produced;
    m.data = ask;

    bus_produce(im->bus, &m);
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
    im->bus_conf = t->conf->bus;
    im->bus_conf.name = "im";
    im->bus_conf.topic = t->conf->im_topic;

    for (i = 0; i < LOGIC_IM_ASKS; i++) {
        LIST_INIT(&im->asks[i]);
    }

    im->db = db_open(t->base, t->conf->im_db);
    im->replies = logic_im_replies_new(t, logic_im_answered);

    if (im->db == NULL || im->replies == NULL) {
        return -1;
    }

    im->bus = bus_producer_new(t->base, &im->bus_conf, t->redis, err, size);

    return im->bus != NULL ? 0 : -1;
}


size_t
logic_im_busy(const logic_thread_t *t)
{
    return t->im != NULL ? t->im->asked : 0;
}


/* Nothing waits for an answer. */

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
