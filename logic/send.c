/*
 * The way of what a client sends. Each step goes on with the next or ends it;
 * nothing is published after the deadline, when its sender has been told that
 * it is not known and may have gone on to something else.
 */

#include "send.h"

#include "nodes.h"
#include "push.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_SEND_ENVELOPE  64         /* bytes, at most */


static const char *logic_send_refused(const logic_send_t *s,
    const logic_sends_t *may);
static int logic_send_wrap(logic_send_t *s);
static void logic_send_told(logic_thread_t *t, logic_end_t end,
    const char *message, void *data);
static void logic_send_tell(logic_send_t *s, const logic_sent_t *sent);
static void logic_send_count(int code);


void
logic_send(logic_thread_t *t, const logic_send_ask_t *ask,
    logic_send_pt done, void *data)
{
    const char    *reason;
    logic_send_t  *s;
    logic_sent_t   none = { GOIM_LATER, "no memory", 0 };

    s = malloc(sizeof(logic_send_t));

    if (s == NULL) {
        logic_send_count(none.code);
        done(&none, data);
        return;
    }

    s->thread = t;
    s->mid = ask->mid;
    s->key_len = ask->key_len;
    s->owned = NULL;
    s->rate = logic_send_limit(t, ask->limits, &s->burst);
    s->deadline = ask->deadline;
    s->done = done;
    s->data = data;

    if (ask->key_len > 0) {
        memcpy(s->key, ask->key, ask->key_len);
    }

    s->key[ask->key_len] = '\0';
    snprintf(s->about, sizeof(s->about), "%s", ask->about);
    snprintf(s->sender, sizeof(s->sender), "%" PRId64, ask->mid);

    if (logic_send_line(ask->data, ask->len, &s->line, &reason) != 0) {
        logic_send_end(s, GOIM_BAD, reason);
        return;
    }

    s->payload = s->line.payload;
    s->len = s->line.len;

    reason = logic_send_refused(s, ask->may);

    if (reason != NULL) {
        logic_send_end(s, GOIM_FORBIDDEN, reason);
        return;
    }

    if (s->len > (size_t) t->conf->send_max) {
        logic_send_end(s, GOIM_LARGE,
                       "the payload is longer than [send] max_size");
        return;
    }

    logic_send_rate(s);
}


static const char *
logic_send_refused(const logic_send_t *s, const logic_sends_t *may)
{
    if (!logic_grants_has_op(&may->to, s->line.operation)) {
        return "it may not send this operation";
    }

    if (s->line.room_len == 0) {
        return may->mids ? NULL : "it may not send to users";
    }

    return logic_grants_has_room(&may->to, s->line.room, s->line.room_len)
           ? NULL : "it may not send to this room";
}


/* ---- publishing --------------------------------------------------------- */

void
logic_send_publish(logic_send_t *s)
{
    logic_push_t       *p;
    logic_push_kind_t   kind;

    if (s->deadline <= svc_now()) {
        logic_send_end(s, GOIM_LATER, "it took too long: try again");
        return;
    }

    if (s->thread->conf->send_envelope && logic_send_wrap(s) != 0) {
        logic_send_end(s, GOIM_LATER, "no memory");
        return;
    }

    if (s->len > logic_nodes_max_body(s->thread)) {
        logic_send_end(s, GOIM_LARGE,
                       "the message is longer than a node takes");
        return;
    }

    kind = s->line.room_len > 0 ? LOGIC_PUSH_ROOM : LOGIC_PUSH_MIDS;
    p = logic_push_begin(s->thread, kind, s->line.operation, s->payload,
                         s->len, sizeof(logic_send_t), logic_send_told, s);

    if (p == NULL) {
        return;
    }

    p->sender = s->sender;

    if (p->deadline > s->deadline) {
        p->deadline = s->deadline;
    }

    if (kind == LOGIC_PUSH_ROOM) {
        p->id = s->line.id[0] != '\0' ? s->line.id : NULL;
        logic_push_to_room(p, s->line.room, s->line.room_len);
        return;
    }

    p->mids = malloc(s->line.nmids * sizeof(int64_t));

    if (p->mids == NULL) {
        logic_push_answer(p, LOGIC_END_MEMORY, "no memory");
        return;
    }

    memcpy(p->mids, s->line.mids, s->line.nmids * sizeof(int64_t));
    logic_lookup_mids(p, s->line.nmids);
}


/* By whom, and when: nobody can write that but here. */

static int
logic_send_wrap(logic_send_t *s)
{
    int    n;
    char  *text;

    text = malloc(LOGIC_SEND_ENVELOPE + s->len);

    if (text == NULL) {
        return -1;
    }

    n = snprintf(text, LOGIC_SEND_ENVELOPE,
                 "{\"mid\":%" PRId64 ",\"at\":%" PRId64 "}\n", s->mid,
                 svc_date());

    memcpy(text + n, s->payload, s->len);
    free(s->owned);

    s->owned = text;
    s->payload = text;
    s->len += (size_t) n;

    return 0;
}


static void
logic_send_told(logic_thread_t *t, logic_end_t end, const char *message,
    void *data)
{
    (void) t;
    (void) message;

    switch (end) {

    case LOGIC_END_OK:
        logic_events_message(data);
        return;

    case LOGIC_END_UNKNOWN:
        logic_send_end(data, GOIM_UNKNOWN, "it may have been sent");
        return;

    default:
        logic_send_end(data, GOIM_LATER, "it was not sent: try again");
    }
}


/* ---- the answer --------------------------------------------------------- */

void
logic_send_end(logic_send_t *s, int code, const char *reason)
{
    logic_sent_t  sent = { code, reason, 0 };

    logic_send_tell(s, &sent);
}


void
logic_send_often(logic_send_t *s, int64_t after)
{
    logic_sent_t  sent = { GOIM_OFTEN, "too often", after };

    logic_send_tell(s, &sent);
}


static void
logic_send_tell(logic_send_t *s, const logic_sent_t *sent)
{
    logic_send_count(sent->code);
    s->done(sent, s->data);

    free(s->owned);
    free(s);
}


static void
logic_send_count(int code)
{
    switch (code) {

    case 0:
        metrics_add(logic_m.sends[0], 1);
        break;

    case GOIM_LARGE:
        metrics_add(logic_m.sends[2], 1);
        break;

    case GOIM_OFTEN:
        metrics_add(logic_m.sends[3], 1);
        break;

    case GOIM_LATER:
        metrics_add(logic_m.sends[4], 1);
        break;

    case GOIM_UNKNOWN:
        metrics_add(logic_m.sends[5], 1);
        break;

    default:
        metrics_add(logic_m.sends[1], 1);
    }
}


char *
logic_send_answer(const logic_sent_t *sent)
{
    char    *text;
    json_t  *json;

    json = json_pack("{s:i}", "code", sent->code);

    if (sent->code != 0) {
        json_object_set_new(json, "reason", json_string(sent->reason));
    }

    if (sent->code == GOIM_OFTEN) {
        json_object_set_new(json, "after", json_integer(sent->after));
    }

    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    if (text == NULL) {
        abort();
    }

    return text;
}
