/* LINK: logic/im_call.c logic/im_do.c logic/query.c svc/im.c */

/*
 * What a client sends to other people: a line, of operation 4 or 18, which is the
 * first byte. Each is answered once, with JSON that has a code, or is not for
 * here; what goes on to job is within the bounds that job holds it to.
 */

#include <stdlib.h>
#include <string.h>

#include "common/goim_packet.h"
#include "logic/im.h"
#include "logic/send.h"
#include "logic/session.h"
#include "svc/bus.h"
#include "svc/clock.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static int  answers;


static void
check(int good)
{
    if (!good) {
        abort();
    }
}


/* ---- what they are linked with ---- */

void
logic_reply(logic_call_t *call, Goim__Reply *reply)
{
    json_t                     *json;
    const ProtobufCBinaryData  *text;

    (void) call;

    text = &reply->sent->answer;
    json = json_loadb((char *) text->data, text->len, 0, NULL);

    check(json_is_integer(json_object_get(json, "code")));
    check(json_integer_value(json_object_get(json, "code")) == 0
          || json_string_length(json_object_get(json, "message")) > 0);

    json_decref(json);
    answers++;
}


static void
said(const logic_im_do_t *d)
{
    d->told(d->door, 0, "", json_object());
}


void
logic_im_ask(const logic_im_do_t *d, Goim__ImCommand *c)
{
    size_t     i;
    int64_t    low, high;
    im_type_t  type;

    type = im_conv(c->conv, &low, &high);

    check(type != IM_NONE && strlen(c->conv) <= GOIM_IM_CONV
          && c->n_mids <= GOIM_IM_MEMBERS && c->body.len <= d->max);

    for (i = 0; i < c->n_mids; i++) {
        check(c->mids[i] > 0);
    }

    switch ((int) c->do_) {

    case GOIM__IM_COMMAND__DO__SEND:
        check(im_word(c->id, GOIM_IM_ID) && im_kind_of_message(c->kind));
        break;

    case GOIM__IM_COMMAND__DO__READ:
        check(c->seq <= GOIM_SEQ_MAX);
        break;

    case GOIM__IM_COMMAND__DO__SETTINGS:
        break;

    case GOIM__IM_COMMAND__DO__CREATE:
        check(type == IM_GROUP && low == d->mid);
        break;

    default:
        check(type == IM_GROUP && c->muted <= GOIM_IM_MUTED);
    }

    said(d);
}


void logic_im_sync(const logic_im_do_t *d) { said(d); }
void logic_im_history(const logic_im_do_t *d) { said(d); }
void logic_im_convs(const logic_im_do_t *d) { said(d); }
void logic_im_group_get(const logic_im_do_t *d) { said(d); }
void logic_im_group_members(const logic_im_do_t *d) { said(d); }
void logic_im_device(const logic_im_do_t *d) { said(d); }
void logic_im_devices(const logic_im_do_t *d) { said(d); }
void logic_im_kick(const logic_im_do_t *d) { said(d); }
void logic_im_ticket(const logic_im_do_t *d) { said(d); }


void
logic_im_signal(logic_call_t *call, const logic_limits_t *limits)
{
    (void) call;
    (void) limits;
    abort();                        /* of operation 22 */
}


double
logic_send_limit(const logic_thread_t *t, const logic_limits_t *limits,
    int64_t *burst)
{
    (void) t;
    (void) limits;
    *burst = 0;

    return 0;
}


const char *
logic_call_data(const Goim__Receive *r, char *text)
{
    (void) r;
    (void) text;

    return NULL;
}


void
bus_hex(char *out, const uint8_t *data, size_t len)
{
    (void) out;
    (void) data;
    (void) len;
    abort();
}


int
db_check(const char *url, char *err, size_t size)
{
    (void) url;
    (void) err;
    (void) size;
    abort();
}


void
db_patience(db_t *db, int64_t ms)
{
    (void) db;
    (void) ms;
}


void
db_run(db_t *db, const db_stmt_t *stmts, size_t n, int more, db_done_pt done,
    void *data)
{
    (void) db;
    (void) stmts;
    (void) n;
    (void) more;
    (void) done;
    (void) data;
    abort();
}


/* ---- the target ---- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int             taken;
    uint8_t        *copy;
    Goim__Call      msg = GOIM__CALL__INIT;
    logic_call_t    call;
    logic_conf_t    conf;
    logic_thread_t  thread;
    Goim__Receive   receive = GOIM__RECEIVE__INIT;
    logic_limits_t  limits;

    if (size == 0) {
        return 0;
    }

    memset(&call, 0, sizeof(call));
    memset(&conf, 0, sizeof(conf));
    memset(&thread, 0, sizeof(thread));
    memset(&limits, 0, sizeof(limits));

    /* a copy of its size, so that a byte too far is seen */

    copy = malloc(size);
    check(copy != NULL);
    memcpy(copy, data, size);

    receive.mid = 7;
    receive.operation = copy[0] & 1 ? GOIM_OP_COMMAND : GOIM_OP_SEND;
    receive.body.data = copy + 1;
    receive.body.len = size - 1;
    msg.receive = &receive;
    call.msg = &msg;
    call.thread = &thread;
    thread.conf = &conf;
    conf.im_max_body = 4000;

    answers = 0;
    taken = logic_im_call(&call, &limits);
    check(answers == taken);

    free(copy);

    return 0;
}
