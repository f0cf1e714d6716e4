/*
 * Commands that change something: to the bus, and job's answer.
 */

#include "im.h"

#include "hook.h"
#include "send.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/im_same.h"

#define LOGIC_IM_BUS    500         /* ms of them, that job and its answer have */
#define LOGIC_IM_LOOK   3           /* s */
#define LOGIC_IM_MOST   10000       /* requests that wait, of a thread */


struct logic_im_ask_s {
    LIST_ENTRY(logic_im_ask_s)  entry;
    logic_thread_t             *thread;
    logic_im_told_pt            told;
    void                       *door;
    struct event               *timer;
    Goim__ImCommand            *c;
    const char                 *name;
    char                       *about;
    int64_t                     until;
    double                      rate;
    int64_t                     burst;
    unsigned                    waits:1;    /* a step is under way */
    unsigned                    produced:1; /* the bus may have it */
    unsigned                    answered:1;
    unsigned                    item:1;     /* the answer has its number */
};


static void logic_im_rated(int64_t after, void *data);
static void logic_im_before(logic_im_ask_t *ask);
static void logic_im_judged(const logic_judged_t *judged, void *data);
static void logic_im_produce(logic_im_ask_t *ask);


/* ---- a request that waits ---- */

static void
logic_im_unref(logic_im_ask_t *ask)
{
    if (ask->waits || !ask->answered) {
        return;
    }

    event_free(ask->timer);
    goim__im_command__free_unpacked(ask->c, NULL);
    free(ask->about);
    free(ask);
}


static void
logic_im_end(logic_im_ask_t *ask, int code, const char *message, json_t *data)
{
    if (ask->answered) {
        json_decref(data);
        return;
    }

    ask->answered = 1;
    ask->thread->im->asked--;
    LIST_REMOVE(ask, entry);
    event_del(ask->timer);

    ask->told(ask->door, code, message, data);
}


static void
logic_im_answered(logic_thread_t *t, const Goim__ImReply *reply)
{
    json_t          *data;
    logic_im_ask_t  *ask;

    LIST_FOREACH(ask, &t->im->asks[reply->request & (LOGIC_IM_ASKS - 1)], entry)
    {
        if (ask->c->request != reply->request) {
            continue;
        }

        data = NULL;

        if (reply->code == 0 && ask->c->do_ == GOIM__IM_COMMAND__DO__PUSH) {
            data = json_pack("{s:s, s:I}", "id", ask->c->id, "at",
                             (json_int_t) reply->at);

        } else if (reply->code == 0 && ask->item) {
            data = json_pack("{s:s, s:I, s:I}", "conv", ask->c->conv, "seq",
                             (json_int_t) reply->seq, "at",
                             (json_int_t) reply->at);
        }

        logic_im_end(ask, reply->code, reply->message, data);
        logic_im_unref(ask);
        return;
    }
}


static void
logic_im_late(evutil_socket_t fd, short what, void *data)
{
    logic_im_ask_t  *ask = data;

    (void) fd;
    (void) what;

    if (ask->produced) {
        logic_im_end(ask, -504, "no answer in time: the same again, with the "
                     "same id, does no harm", NULL);

    } else {
        logic_im_end(ask, -503, "it took too long: try again", NULL);
    }

    logic_im_unref(ask);
}


/* ---- its steps ---- */

static logic_im_ask_t *
logic_im_new(const logic_im_do_t *d, Goim__ImCommand *c)
{
    size_t           len;
    uint8_t         *packed;
    logic_im_t      *im;
    logic_im_ask_t  *ask;

    im = d->thread->im;

    c->logic = (char *) logic_im_replies_name(im->replies);
    c->request = ++im->request;
    c->mid = d->mid;
    c->at = svc_date();

    len = goim__im_command__get_packed_size(c);
    ask = calloc(1, sizeof(logic_im_ask_t));
    packed = malloc(len + 1);

    if (ask != NULL && packed != NULL) {
        goim__im_command__pack(c, packed);
        ask->c = goim__im_command__unpack(NULL, len, packed);
        ask->about = strdup(d->about);
        ask->timer = evtimer_new(d->thread->base, logic_im_late, ask);
    }

    free(packed);

    if (ask == NULL || ask->c == NULL || ask->about == NULL
        || ask->timer == NULL)
    {
        abort();
    }

    ask->thread = d->thread;
    ask->told = d->told;
    ask->door = d->door;
    ask->name = d->name;
    ask->until = d->until;
    ask->rate = d->rate;
    ask->burst = d->burst;
    ask->item = c->do_ != GOIM__IM_COMMAND__DO__READ
                && c->do_ != GOIM__IM_COMMAND__DO__SETTINGS
                && c->do_ != GOIM__IM_COMMAND__DO__DEVICE;

    LIST_INSERT_HEAD(&im->asks[c->request & (LOGIC_IM_ASKS - 1)], ask, entry);
    im->asked++;

    return ask;
}


void
logic_im_ask(const logic_im_do_t *d, Goim__ImCommand *c)
{
    int64_t          left;
    logic_im_t      *im;
    logic_im_ask_t  *ask;

    im = d->thread->im;
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

    ask = logic_im_new(d, c);
    svc_timer(ask->timer, left);
    ask->until = svc_now() + left;

    ask->waits = 1;
    logic_rate(ask->thread, d->mid, ask->rate, ask->burst, logic_im_rated, ask);
}


static void
logic_im_rated(int64_t after, void *data)
{
    logic_im_ask_t  *ask = data;

    ask->waits = 0;

    if (after < 0) {
        logic_im_end(ask, -503, "it was not sent: try again", NULL);

    } else if (after > 0) {
        logic_im_end(ask, -429, "too often",
                     json_pack("{s:I}", "after", (json_int_t) after));
    }

    if (!ask->answered) {
        logic_im_before(ask);

    } else {
        logic_im_unref(ask);
    }
}


/* The application judges messages, and what changes groups. */

static void
logic_im_before(logic_im_ask_t *ask)
{
    int               n;
    char              query[3 * (GOIM_IM_CONV + GOIM_IM_ID + GOIM_IM_KIND) + 128];
    Goim__ImCommand  *c;

    c = ask->c;

    if (ask->thread->before == NULL
        || (c->do_ != GOIM__IM_COMMAND__DO__SEND && c->conv[0] != 'g')
        || c->do_ == GOIM__IM_COMMAND__DO__READ
        || c->do_ == GOIM__IM_COMMAND__DO__SETTINGS)
    {
        logic_im_produce(ask);
        return;
    }

    n = sprintf(query, "mid=%" PRId64 "&do=%s&conv=", c->mid, ask->name);
    n += (int) logic_hook_escape(query + n, c->conv, strlen(c->conv));

    if (c->do_ == GOIM__IM_COMMAND__DO__SEND) {
        n += sprintf(query + n, "&id=");
        n += (int) logic_hook_escape(query + n, c->id, strlen(c->id));
        n += sprintf(query + n, "&kind=");
        n += (int) logic_hook_escape(query + n, c->kind, strlen(c->kind));
    }

    query[n] = '\0';

    ask->waits = 1;
    logic_before(ask->thread, query, ask->about, c->body.data, c->body.len,
                 c->do_ == GOIM__IM_COMMAND__DO__SEND ? GOIM_IM_BODY : 0,
                 logic_im_judged, ask);
}


/* What changes a group is what it says: it is as it is, or refused. */

static void
logic_im_judged(const logic_judged_t *judged, void *data)
{
    logic_im_ask_t  *ask = data;

    ask->waits = 0;

    if (judged->code != 0) {
        logic_im_end(ask, judged->code, judged->reason, NULL);
    }

    if (judged->payload != NULL
        && ask->c->do_ == GOIM__IM_COMMAND__DO__SEND)
    {
        free(ask->c->body.data);
        ask->c->body.data = (uint8_t *) judged->payload;
        ask->c->body.len = judged->len;

    } else {
        free(judged->payload);
    }

    if (!ask->answered) {
        logic_im_produce(ask);

    } else {
        logic_im_unref(ask);
    }
}


static void
logic_im_produced(bus_result_t result, void *data)
{
    logic_im_ask_t  *ask = data;

    ask->waits = 0;

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


static void
logic_im_produce(logic_im_ask_t *ask)
{
    char           mid[24];
    int64_t        left;
    bus_message_t  m;

    left = ask->until - svc_now();
    left = left > 2 * LOGIC_IM_BUS ? left - LOGIC_IM_BUS : left / 2;

    if (left <= 0) {
        logic_im_end(ask, -503, "it took too long: try again", NULL);
        logic_im_unref(ask);
        return;
    }

    memset(&m, 0, sizeof(m));
    m.key = ask->c->conv;

    if (ask->c->conv[0] == '\0') {
        snprintf(mid, sizeof(mid), "%" PRId64, ask->c->mid);
        m.key = mid;
    }

    m.key_len = strlen(m.key);
    m.len = goim__im_command__get_packed_size(ask->c);
    m.pack = logic_im_pack;
    m.what = ask->c;
    m.from = ask->thread->from;
    m.timeout = left;
    m.cb = logic_im_produced;
    m.data = ask;

    ask->waits = 1;
    ask->produced = 1;

    bus_produce(ask->thread->im->bus, &m);
}


/* ---- start and end ---- */

/* It outlives the thread's handle of Redis. */

static void
logic_im_look(evutil_socket_t fd, short what, void *data)
{
    logic_thread_t  *t = data;

    static im_same_t  same;

    (void) fd;
    (void) what;

    same.db = t->im->db;
    same.redis = t->redis;
    same.other = logic_m.im_other;

    im_same_look(&same);
}


static int
logic_im_looks(logic_thread_t *t)
{
    static const struct timeval  every = { LOGIC_IM_LOOK, 0 };

    if (t->index != 0) {
        return 0;
    }

    t->im->look = event_new(t->base, -1, EV_PERSIST, logic_im_look, t);

    return t->im->look != NULL ? event_add(t->im->look, &every) : -1;
}


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
    im->inboxes_last = &im->inboxes;
    im->bus_conf = t->conf->bus;
    im->bus_conf.name = "im";
    im->bus_conf.topic = t->conf->im_topic;

    for (i = 0; i < LOGIC_IM_ASKS; i++) {
        LIST_INIT(&im->asks[i]);
    }

    im->db = db_open(t->base, t->conf->im_db);
    im->replies = logic_im_replies_new(t, logic_im_answered);

    if (im->db == NULL || im->replies == NULL || logic_im_looks(t) != 0) {
        return -1;
    }

    db_patience(im->db, LOGIC_IM_TIME - LOGIC_IM_BUS);

    if (t->conf->ticket_key[0] != '\0') {
        im->ticket = logic_im_ticket_key(t->conf);

        if (im->ticket == NULL) {
            return -1;
        }
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

    if (im->look != NULL) {
        event_free(im->look);
    }

    bus_producer_free(im->bus);
    logic_im_replies_free(im->replies);
    db_close(im->db);

    if (im->ticket != NULL) {
        logic_jwk_free(im->ticket);
    }

    free(im);
}
