
/*
 * Operation 6, by which a node speaks of its own accord: why it refuses what a
 * packet asked for, to sessions whose auth packet has "errors":1; its last
 * words before it closes, to these and to those that recover.
 */


#include "ngx_goim_core.h"

#include "common/goim_json.h"


static ngx_int_t ngx_goim_answer_tell(ngx_goim_session_t *s,
    const char *body, size_t len);
static ngx_goim_buf_t *ngx_goim_answer_packet(ngx_goim_session_t *s,
    const char *body, size_t len);


void
ngx_goim_answer_auth(ngx_goim_session_t *s, const u_char *body, size_t len)
{
    const char  *value;

    s->errors = goim_json_member(body, len, "errors", &value) == 1
                && value[0] == '1';
}


ngx_int_t
ngx_goim_refuse(ngx_goim_session_t *s, int32_t operation, int32_t sequence,
    ngx_int_t code, const char *reason)
{
    size_t     len;
    ngx_int_t  rc;

    static char  body[GOIM_ANSWER_MAX];

    if (!s->errors) {
        return NGX_OK;
    }

    len = goim_answer_refused(body, code, reason, operation, sequence);
    rc = ngx_goim_answer_tell(s, body, len);

    ngx_goim_count(refusals, rc == NGX_OK);

    return rc;
}


ngx_int_t
ngx_goim_answer_lost(ngx_goim_session_t *s, const char *reason,
    const int32_t *ops, ngx_uint_t n)
{
    static char  body[GOIM_ANSWER_OPS];

    return s->errors
           ? ngx_goim_answer_tell(s, body,
                                  goim_answer_lost(body, reason, ops, n))
           : NGX_OK;
}


ngx_int_t
ngx_goim_answer_expires(ngx_goim_session_t *s, ngx_msec_t left)
{
    static char  body[GOIM_ANSWER_MAX];

    return ngx_goim_answer_tell(s, body,
                                goim_answer_expires(body,
                                                    (left + 500) / 1000));
}


static ngx_int_t
ngx_goim_answer_tell(ngx_goim_session_t *s, const char *body, size_t len)
{
    ngx_int_t        rc;
    ngx_goim_buf_t  *b;

    b = ngx_goim_answer_packet(s, body, len);

    if (b == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    rc = ngx_goim_send(s, b, 0, b->len);
    ngx_goim_buf_unref(b);

    if (rc == NGX_OK) {
        ngx_goim_trace(s, "told words=\"%V\"", ngx_goim_trace_text(body, len));
    }

    return rc;
}


/*
 * The last words before the close frame.  Who was refused, replaced or wrong
 * need not come back; who was silent or slow for too long may have slept.
 */

void
ngx_goim_answer_bye(ngx_goim_session_t *s, ngx_uint_t code,
    const char *reason)
{
    int              again;
    size_t           len;
    ngx_goim_buf_t  *b;

    static char  body[GOIM_ANSWER_MAX];

    if (!s->errors && s->follow == NULL) {
        return;
    }

    again = code == 1001 || (code >= 1011 && code <= 1013)
            || (code >= GOIM_END_MIN && code < GOIM_END_STAY
                && code != GOIM_EXPIRED)
            || ngx_strstr(reason, "timeout") != NULL
            || ngx_strcmp(reason, "too slow") == 0;

    len = goim_answer_bye(body, code, reason, again);

    b = ngx_goim_answer_packet(s, body, len);

    if (b && ngx_goim_queue_push(s, b, 0, b->len) != NGX_OK) {
        ngx_goim_buf_unref(b);
    }
}


static ngx_goim_buf_t *
ngx_goim_answer_packet(ngx_goim_session_t *s, const char *body, size_t len)
{
    return ngx_goim_packet(s, GOIM_VERSION, GOIM_OP_DISCONNECT, 0,
                           (const u_char *) body, len);
}
