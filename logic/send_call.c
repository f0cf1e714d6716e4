/*
 * What a session sends by its socket. Logic says at login what it may; the
 * node keeps that, and hands it back with each message.
 */

#include "im.h"
#include "session.h"
#include "send.h"

#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_SEND_MARGIN  200          /* ms, for the answer's way back */


static int logic_send_unpack(const ProtobufCBinaryData *data,
    logic_sends_t *may, logic_limits_t *limits);
static void logic_send_call_told(const logic_sent_t *sent, void *data);


uint8_t *
logic_send_pack(const logic_who_t *who, size_t *len)
{
    char                 *p;
    size_t                i;
    uint8_t              *data;
    Goim__Sends           sends = GOIM__SENDS__INIT;
    const logic_grants_t *to;
    ProtobufCBinaryData   rooms[GOIM_ROOMS_MAX];

    *len = 0;

    if (!who->sends.any && !who->im) {
        return NULL;
    }

    to = &who->sends.to;

    for (i = 0, p = (char *) to->rooms; i < to->nrooms; i++) {
        rooms[i].data = (uint8_t *) p;
        rooms[i].len = to->rooms_len[i];
        p += to->rooms_len[i];
    }

    sends.n_rooms = to->nrooms;
    sends.rooms = rooms;
    sends.n_ops = to->nops;
    sends.ops = (int32_t *) to->ops;
    sends.mids = who->sends.mids;
    sends.limited = who->limits.has_mid_rate;
    sends.mid_rate = who->limits.mid_rate;
    sends.mid_burst = (uint32_t) who->limits.mid_burst;
    sends.im = who->im;

    data = malloc(goim__sends__get_packed_size(&sends));

    if (data != NULL) {
        *len = goim__sends__pack(&sends, data);
    }

    return data;
}


static int
logic_send_unpack(const ProtobufCBinaryData *data, logic_sends_t *may,
    logic_limits_t *limits)
{
    int           rc;
    size_t        i;
    Goim__Sends  *sends;

    memset(may, 0, sizeof(*may));
    memset(limits, 0, sizeof(*limits));

    sends = goim__sends__unpack(NULL, data->len, data->data);

    if (sends == NULL) {
        return -1;
    }

    rc = sends->n_ops > 2 * GOIM_OPS_MAX || sends->n_ops % 2 != 0
         || sends->mid_burst > LOGIC_BURST_MAX
         || !logic_rate_valid(sends->mid_rate) ? -1 : 0;

    for (i = 0; rc == 0 && i < sends->n_rooms; i++) {
        rc = logic_grants_add_room(&may->to, (char *) sends->rooms[i].data,
                                   sends->rooms[i].len);
    }

    if (rc == 0 && sends->n_ops > 0) {
        memcpy(may->to.ops, sends->ops, sends->n_ops * sizeof(int32_t));
        may->to.nops = sends->n_ops;
    }

    may->to.rooms_limited = 1;
    may->to.ops_limited = 1;
    may->mids = sends->mids;
    may->im = sends->im;

    limits->has_mid_rate = sends->limited;
    limits->mid_rate = sends->mid_rate;
    limits->mid_burst = sends->mid_burst;

    goim__sends__free_unpacked(sends, NULL);

    return rc;
}


void
logic_send_call(logic_call_t *call)
{
    logic_sends_t      may;
    logic_limits_t     limits;
    Goim__Receive     *r;
    logic_send_ask_t   ask;
    char               about[GOIM_DATA_MAX + 1];

    r = call->msg->receive;

    if (r->mid <= 0 || logic_send_unpack(&r->send, &may, &limits) != 0) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "send");
        return;
    }

    if (may.im && call->thread->im != NULL && logic_im_call(call, &limits)) {
        return;
    }

    ask.mid = r->mid;
    ask.key = (char *) r->key.data;
    ask.key_len = r->key.len;
    ask.about = logic_call_data(r, about);
    ask.may = &may;
    ask.limits = &limits;
    ask.data = r->body.data;
    ask.len = r->body.len;
    ask.deadline = call->deadline - LOGIC_SEND_MARGIN;

    logic_send(call->thread, &ask, logic_send_call_told, call);
}


static void
logic_send_call_told(const logic_sent_t *sent, void *data)
{
    char         *text;
    Goim__Sent    answer = GOIM__SENT__INIT;
    Goim__Reply   reply = GOIM__REPLY__INIT;

    text = logic_send_answer(sent);

    answer.answer.data = (uint8_t *) text;
    answer.answer.len = strlen(text);
    reply.reply_case = GOIM__REPLY__REPLY_SENT;
    reply.sent = &answer;

    logic_reply(data, &reply);
    free(text);
}
