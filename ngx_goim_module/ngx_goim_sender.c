
/*
 * Sessions that may send: what logic let them, how often, and what they are
 * answered.
 */


#include "ngx_goim_core.h"


typedef struct ngx_goim_sender_s {
    uint64_t    full;           /* us: when its bucket of tokens is full */
    uint32_t    each;           /* us in which a token comes; 0: no limit */
    uint32_t    fit;            /* tokens in it */
    unsigned    im:1;           /* operation 18, too */
    size_t      len;
    u_char      may[1];         /* for logic, as it came */
} ngx_goim_sender_t;


static void ngx_goim_sender_fill(ngx_goim_sender_t *sender,
    const ngx_goim_sender_t *old, const Goim__Connected *in);


/* In the place of what it might before, but for how often it did. */

ngx_int_t
ngx_goim_sender_set(ngx_goim_session_t *s, const Goim__Connected *in)
{
    ngx_goim_sender_t  *sender;

    sender = NULL;

    if (in->send.len) {
        sender = ngx_alloc(sizeof(ngx_goim_sender_t) + in->send.len,
                           ngx_cycle->log);
        if (sender == NULL) {
            return NGX_ERROR;
        }

        ngx_goim_sender_fill(sender, s->sender, in);
    }

    if (s->sender) {
        ngx_free(s->sender);
    }

    s->sender = sender;

    return NGX_OK;
}


static void
ngx_goim_sender_fill(ngx_goim_sender_t *sender, const ngx_goim_sender_t *old,
    const Goim__Connected *in)
{
    sender->full = old ? old->full : 0;
    sender->each = in->send_interval;
    sender->fit = in->send_burst;
    sender->im = in->im;
    sender->len = in->send.len;
    ngx_memcpy(sender->may, in->send.data, in->send.len);
}


/* What is before a payload is besides: whoever may write to others is told when the
   payload is too long, and by its line, however long the names are. */

size_t
ngx_goim_max_body(ngx_goim_session_t *s)
{
    return ngx_goim_conf->max_body
           + (s->sender && s->sender->im ? GOIM_IM_LINE : 0);
}


/* Whether logic answers such a packet. */

ngx_uint_t
ngx_goim_sender_takes(ngx_goim_session_t *s, int32_t operation)
{
    return s->sender
           && (operation == GOIM_OP_SEND
               || ((operation == GOIM_OP_COMMAND
                    || operation == GOIM_OP_SIGNAL)
                   && s->sender->im));
}


void
ngx_goim_sender_grant(ngx_goim_session_t *s, Goim__Receive *receive)
{
    receive->send.data = s->sender->may;
    receive->send.len = s->sender->len;
}


/* ms until it may send; 0: now, and a token is taken */

ngx_msec_t
ngx_goim_sender_wait(ngx_goim_session_t *s)
{
    uint64_t            now, window;
    ngx_goim_sender_t  *sender;

    sender = s->sender;

    if (sender->each == 0) {
        return 0;
    }

    now = (uint64_t) ngx_current_msec * 1000;
    window = (uint64_t) sender->each * sender->fit;

    if (sender->full < now) {
        sender->full = now;
    }

    if (sender->full + sender->each > now + window) {
        return (sender->full + sender->each - now - window + 999) / 1000;
    }

    sender->full += sender->each;

    return 0;
}


ngx_int_t
ngx_goim_sender_often(ngx_goim_session_t *s, goim_packet_t *p,
    ngx_msec_t wait)
{
    u_char  text[128], *end;

    ngx_goim_count(sends_limited, 1);
    ngx_goim_trace(s, "send limited wait=%M", wait);

    if (p->operation == GOIM_OP_SIGNAL) {
        return NGX_OK;                  /* none is answered */
    }

    end = ngx_snprintf(text, sizeof(text), "{\"code\":-429,\"reason\":\"too "
                       "often\",%s\"after\":%M}", s->sender->im
                       ? "\"message\":\"too often\"," : "", wait);

    return ngx_goim_reply(s, p->version, p->operation + 1, p->sequence, text,
                          end - text);
}


ngx_int_t
ngx_goim_sender_reply(ngx_goim_session_t *s, uint16_t version,
    int32_t operation, int32_t sequence, const Goim__Reply *reply)
{
    if (reply && reply->code == GOIM__REPLY__CODE__OK
        && reply->reply_case == GOIM__REPLY__REPLY_SENT
        && reply->sent->answer.len <= (operation == GOIM_OP_SEND
                                       ? GOIM_SENT_MAX : GOIM_REPLY_MAX))
    {
        return ngx_goim_sender_answer(s, version, operation, sequence, 0,
                                      &reply->sent->answer);
    }

    if (operation == GOIM_OP_SIGNAL && reply
        && reply->code == GOIM__REPLY__CODE__OK)
    {
        return NGX_OK;
    }

    ngx_goim_count(receive_failed, 1);
    ngx_log_error(NGX_LOG_WARN, s->connection->log, 0,
                  "goim: what it sends was not taken: %V",
                  ngx_goim_trace_string(reply == NULL ? "logic did not answer"
                                        : reply->error[0] ? reply->error
                                        : "no answer"));

    return ngx_goim_sender_answer(s, version, operation, sequence,
                                  reply ? GOIM_LATER : GOIM_UNKNOWN, NULL);
}


ngx_int_t
ngx_goim_sender_answer(ngx_goim_session_t *s, uint16_t version,
    int32_t operation, int32_t sequence, ngx_int_t code, const ProtobufCBinaryData *answer)
{
    ngx_str_t  text;

    static ngx_str_t  later[] = {
        ngx_string("{\"code\":-503,\"reason\":\"it was not sent: try again\"}"),
        ngx_string("{\"code\":-503,\"reason\":\"it was not sent: try again\","
                   "\"message\":\"it was not sent: try again\"}")
    };
    static ngx_str_t  unknown[] = {
        ngx_string("{\"code\":-504,\"reason\":\"it may have been sent\"}"),
        ngx_string("{\"code\":-504,\"reason\":\"it may have been sent\","
                   "\"message\":\"it may have been sent\"}")
    };

    if (operation == GOIM_OP_SIGNAL) {
        return NGX_OK;                  /* none is answered */
    }

    if (answer) {
        text.data = answer->data;
        text.len = answer->len;

    } else {
        text = code == GOIM_LATER ? later[s->sender->im]
                                  : unknown[s->sender->im];
    }

    ngx_goim_trace(s, "sent answer=\"%V\"",
                   ngx_goim_trace_text(text.data, text.len));

    return ngx_goim_reply(s, version, operation + 1, sequence,
                          text.data, text.len);
}
