/*
 * Packets of clients: what those send who may (send_call.c), others handed to
 * the application. Without one they are counted and taken, as goim does.
 */

#include "hook.h"
#include "send.h"
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "svc/log.h"


static void logic_receive_told(const logic_answer_t *answer, void *data);


void
logic_receive_call(logic_call_t *call)
{
    char            query[3 * (GOIM_KEY_MAX + GOIM_ROOM_MAX) + 160];
    size_t          n;
    char            about[GOIM_DATA_MAX + 1];
    const char     *header[7];
    Goim__Receive  *r;

    r = call->msg->receive;

    if (r->key.len > GOIM_KEY_MAX || r->room.len > GOIM_ROOM_MAX) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "receive");
        return;
    }

    /* goim's clients send without being asked who they are */

    if (r->send.len > 0
        && (call->thread->conf->auth != LOGIC_AUTH_TRUST
            || call->thread->im != NULL))
    {
        logic_send_call(call);
        return;
    }

    metrics_add(logic_m.receives, 1);

    if (call->thread->receive == NULL) {
        metrics_add(logic_m.receive_unwanted, 1);
        logic_reply_ok(call);
        return;
    }

    n = (size_t) snprintf(query, sizeof(query), "mid=%" PRId64
                          "&operation=%d&seq=%d&key=", r->mid, r->operation,
                          r->sequence);
    n += logic_hook_escape(query + n, r->key.data, r->key.len);
    memcpy(query + n, "&room=", 6);
    n += 6;
    n += logic_hook_escape(query + n, r->room.data, r->room.len);
    query[n] = '\0';

    header[0] = "Content-Type";
    header[1] = "application/octet-stream";
    header[2] = "X-Goim-Server";
    header[3] = r->server;
    header[5] = logic_call_data(r, about);
    header[4] = about[0] != '\0' ? "X-Goim-Data" : NULL;
    header[6] = NULL;

    if (logic_hook_post(call->thread->receive, query, header, r->body.data,
                        r->body.len, logic_receive_told, call)
        != 0)
    {
        metrics_add(logic_m.receive_failed, 1);
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED,
                         "too many packets wait for the application");
    }
}


const char *
logic_call_data(const Goim__Receive *r, char *text)
{
    size_t  len;

    len = r->data.len <= GOIM_DATA_MAX ? r->data.len : 0;

    if (len > 0) {
        memcpy(text, r->data.data, len);
    }

    text[len] = '\0';

    return text;
}


static void
logic_receive_told(const logic_answer_t *answer, void *data)
{
    logic_call_t  *call = data;

    static log_once_t  once;

    if (answer->status >= 200 && answer->status <= 299) {
        logic_reply_ok(call);
        return;
    }

    if (answer->status == 0) {
        log_seldom(&once, LOG_WARN, "receive: the application does not "
                   "answer: %s", answer->error);

    } else {
        log_seldom(&once, LOG_WARN, "receive: the application answers with "
                   "status %d", answer->status);
    }

    metrics_add(logic_m.receive_failed, 1);
    logic_reply_code(call, GOIM__REPLY__CODE__FAILED,
                     "the application did not take it");
}
