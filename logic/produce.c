/*
 * Records of a push, and what the bus says about them.
 */

#include "push.h"

#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_PUSH_WINDOW  (4 * 1024 * 1024)    /* bytes of a push at the bus */


static void logic_push_produced(bus_result_t result, void *data);
static void logic_push_group(logic_push_t *p, size_t end);


static size_t
logic_push_pack(const void *what, uint8_t *payload)
{
    return goim__push_msg__pack(what, payload);
}


void
logic_push_produce(logic_push_t *p, Goim__PushMsg *msg, const char *key,
    size_t len)
{
    bus_message_t    m;
    logic_record_t  *rec;

    p->producing = 1;

    msg->operation = p->operation;
    msg->sender = p->sender != NULL ? (char *) p->sender : msg->sender;
    msg->msg.data = (uint8_t *) p->msg;
    msg->msg.len = p->msg_len;

    if (bus_producer_down(p->thread->bus)) {
        p->away = 1;
        p->failed++;
        return;
    }

    m.key = key;
    m.key_len = len;
    m.of = p->room != NULL ? logic_history_home(p->thread, p->room) : 0;
    m.len = goim__push_msg__get_packed_size(msg);
    m.pack = logic_push_pack;
    m.what = msg;
    m.from = p->thread->from;
    m.headers = NULL;
    m.timeout = p->deadline - svc_now();
    m.cb = logic_push_produced;

    /* most pushes are one record */

    rec = p->first.push == NULL ? &p->first : malloc(sizeof(logic_record_t));

    if (m.timeout <= 0 || rec == NULL) {

        if (rec != &p->first) {
            free(rec);
        }

        p->failed++;
        return;
    }

    rec->push = p;
    rec->bytes = m.len;
    m.data = rec;

    p->writes++;
    p->window += m.len;

    metrics_add(logic_m.push_records, 1);

    bus_produce(p->thread->bus, &m);
}


static void
logic_push_produced(bus_result_t result, void *data)
{
    logic_push_t    *p;
    logic_record_t  *rec = data;

    p = rec->push;
    p->writes--;
    p->window -= rec->bytes;

    if (rec == &p->first) {
        p->first.push = NULL;

    } else {
        free(rec);
    }

    switch (result) {

    case BUS_OK:
        p->ok++;
        break;

    case BUS_FAILED:
        p->failed++;
        break;

    default:
        p->unknown++;
        break;
    }

    logic_push_write(p);
}


void
logic_push_write(logic_push_t *p)
{
    size_t  end;

    /* one that was answered because of the time has lost its body */

    while (p->done != NULL && p->written < p->ntargets
           && p->window < LOGIC_PUSH_WINDOW)
    {
        end = logic_group_end(p->targets, p->ntargets, p->written,
                              GOIM_RECORD_NAMES);
        logic_push_group(p, end);
        p->written = end;
    }

    logic_push_settle(p);
}


static void
logic_push_group(logic_push_t *p, size_t end)
{
    size_t           i;
    logic_target_t  *first;

    Goim__PushMsg  msg = GOIM__PUSH_MSG__INIT;

    first = &p->targets[p->written];

    msg.type = GOIM__PUSH_MSG__TYPE__PUSH;
    msg.server = (char *) first->server;
    msg.n_keys = end - p->written;
    msg.keys = malloc(msg.n_keys * sizeof(char *));

    if (msg.keys == NULL) {
        p->producing = 1;
        p->failed++;
        return;
    }

    for (i = 0; i < msg.n_keys; i++) {
        msg.keys[i] = (char *) first[i].key;
    }

    logic_push_produce(p, &msg, first->key, first->len);
    free(msg.keys);
}


/*
 * Only when every record certainly was not written is the push certainly
 * without effect.
 */

void
logic_push_settle(logic_push_t *p)
{
    char  away[64];

    if (p->done == NULL) {
        logic_push_release(p);
        return;
    }

    if (p->writes > 0 || p->written < p->ntargets) {
        return;
    }

    if (p->unknown == 0 && p->failed == 0) {
        logic_push_answer(p, LOGIC_END_OK, "");

    } else if (p->unknown == 0 && p->ok == 0) {
        snprintf(away, sizeof(away), "the bus is away: %s",
                 p->thread->conf->bus.driver);
        logic_push_answer(p, LOGIC_END_BUS,
                          p->away ? away : "the bus did not take it");

    } else {
        logic_push_answer(p, LOGIC_END_UNKNOWN, p->ok > 0
                          ? "the bus acknowledged a part"
                          : "the bus did not acknowledge in time");
    }
}
