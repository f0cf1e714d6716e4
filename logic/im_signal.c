/*
 * Signals: that somebody writes, that a call comes. They are stored nowhere and
 * not answered; those that are refused are counted. What a client sends, and what
 * the others of the conversation get:
 *
 *     {"to":"g1.team","kind":"typing"}
 *     {"conv":"g1.team","mid":1,"kind":"typing"}
 *
 * each with a newline and a payload behind it.
 */

#include "im.h"

#include "push.h"
#include "send.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_SIGNAL_LINE   1024        /* bytes of the line, */
#define LOGIC_SIGNAL_BODY   4000        /* and of the payload */
#define LOGIC_SIGNAL_MORE   (2 * (GOIM_IM_CONV + GOIM_IM_KIND) + 64)

enum { SIGNAL_OK, SIGNAL_REFUSED, SIGNAL_OFTEN, SIGNAL_FAILED };

typedef struct {
    logic_thread_t  *thread;
    int64_t          mid;
    int64_t          other;         /* of a pair */
    int64_t         *mids;          /* whom it goes to */
    size_t           nmids;
    char             conv[GOIM_IM_CONV + 1];
    char             kind[GOIM_IM_KIND + 1];
    size_t           len;
    char             text[];        /* what they get; first the payload */
} logic_signal_t;


static void logic_signal_rated(int64_t after, void *data);
static void logic_signal_members(const db_reply_t *reply, void *data);
static void logic_signal_push(logic_signal_t *s);


static void
logic_signal_end(logic_signal_t *s, int what)
{
    metrics_add(logic_m.signals[what], 1);
    s->thread->im->asked--;
    free(s->mids);
    free(s);
}


/* "2", or a group: -1: neither. */

static int
logic_signal_to(logic_signal_t *s, const json_t *to)
{
    char         number[24];
    int64_t      low, high;
    logic_arg_t  arg;

    arg.value = json_string_value(to);
    arg.len = json_string_length(to);

    if (json_is_integer(to)) {
        arg.len = (size_t) snprintf(number, sizeof(number),
                                    "%" JSON_INTEGER_FORMAT,
                                    json_integer_value(to));
        arg.value = number;
    }

    if (arg.value == NULL) {
        return -1;
    }

    if (arg.len <= GOIM_IM_CONV
        && im_conv(arg.value, &low, &high) == IM_GROUP)
    {
        strcpy(s->conv, arg.value);
        return 0;
    }

    if (logic_query_number(&arg, 1, INT64_MAX, &s->other) != 0) {
        return -1;
    }

    im_pair(s->conv, s->mid, s->other);

    return 0;
}


static int
logic_signal_line(logic_signal_t *s, const char *line, size_t len)
{
    int          rc;
    json_t      *json;
    const char  *kind;

    json = len <= LOGIC_SIGNAL_LINE
           ? json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    kind = json_string_value(json_object_get(json, "kind"));
    rc = -1;

    if (kind != NULL && im_word(kind, GOIM_IM_KIND)
        && logic_signal_to(s, json_object_get(json, "to")) == 0)
    {
        strcpy(s->kind, kind);
        rc = 0;
    }

    json_decref(json);

    return rc;
}


void
logic_im_signal(logic_call_t *call, const logic_limits_t *limits)
{
    double           rate;
    size_t           n, len;
    int64_t          burst;
    const char      *body, *end;
    Goim__Receive   *r;
    logic_signal_t  *s;

    r = call->msg->receive;
    body = (char *) r->body.data;
    end = r->body.len > 0 ? memchr(body, '\n', r->body.len) : NULL;
    n = end != NULL ? (size_t) (end - body) : r->body.len;
    len = end != NULL ? r->body.len - n - 1 : 0;

    s = calloc(1, sizeof(logic_signal_t) + LOGIC_SIGNAL_MORE + len);

    if (s == NULL) {
        abort();
    }

    s->thread = call->thread;
    s->thread->im->asked++;
    s->mid = r->mid;
    s->len = len;

    if (len > 0) {
        memcpy(s->text, end + 1, len);
    }

    if (len > LOGIC_SIGNAL_BODY || logic_signal_line(s, body, n) != 0) {
        logic_reply_ok(call);
        logic_signal_end(s, SIGNAL_REFUSED);
        return;
    }

    /* the next of the session's packets does not wait for it */

    logic_reply_ok(call);

    rate = logic_send_limit(s->thread, limits, &burst);
    logic_rate(s->thread, s->mid, rate, burst, logic_signal_rated, s);
}


static void
logic_signal_rated(int64_t after, void *data)
{
    db_stmt_t        st;
    db_value_t       args[3];
    logic_signal_t  *s = data;

    /* who may not send gives no signals either: they have payloads */

    static const char  text[] =
        "SELECT m.mid FROM member AS b "
        "JOIN conversation AS c ON c.id = b.conv "
        "JOIN member AS m ON m.conv = b.conv "
        "WHERE b.conv = $1 AND b.mid = $2 AND b.muted <= $3 "
        "AND (c.mute_all = 0 OR b.role > 0)";

    if (after != 0) {
        logic_signal_end(s, after > 0 ? SIGNAL_OFTEN : SIGNAL_FAILED);
        return;
    }

    if (s->other != 0) {
        s->mids = malloc(sizeof(int64_t));

        if (s->mids == NULL) {
            abort();
        }

        s->mids[s->nmids++] = s->other;
        logic_signal_push(s);
        return;
    }

    args[0] = db_text(s->conv, strlen(s->conv));
    args[1] = db_int(s->mid);
    args[2] = db_int(svc_date());
    st = (db_stmt_t) { text, args, 3 };

    db_run(s->thread->im->db, &st, 1, 0, logic_signal_members, s);
}


static void
logic_signal_members(const db_reply_t *reply, void *data)
{
    size_t           i, n;
    logic_signal_t  *s = data;

    if (reply->status != DB_OK) {
        logic_signal_end(s, SIGNAL_FAILED);
        return;
    }

    n = reply->rows[0].nrows;

    if (n == 0) {
        logic_signal_end(s, SIGNAL_REFUSED);    /* no member, or muted */
        return;
    }

    s->mids = malloc(n * sizeof(int64_t));

    if (s->mids == NULL) {
        abort();
    }

    for (i = 0; i < n; i++) {
        if (reply->rows[0].values[i].n != s->mid) {
            s->mids[s->nmids++] = reply->rows[0].values[i].n;
        }
    }

    if (s->nmids == 0) {
        logic_signal_end(s, SIGNAL_OK);
        return;
    }

    logic_signal_push(s);
}


/* ---- to the others ---- */

static void
logic_signal_told(logic_thread_t *t, logic_end_t end, const char *message,
    void *data)
{
    (void) t;
    (void) message;

    logic_signal_end(data, end == LOGIC_END_OK ? SIGNAL_OK : SIGNAL_FAILED);
}


static void
logic_signal_push(logic_signal_t *s)
{
    int            n;
    char           line[LOGIC_SIGNAL_MORE];
    char          *text;
    json_t        *json;
    size_t         nmids;
    logic_push_t  *p;

    json = json_pack("{s:s, s:I, s:s}", "conv", s->conv, "mid",
                     (json_int_t) s->mid, "kind", s->kind);
    text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);

    if (text == NULL) {
        abort();
    }

    n = snprintf(line, sizeof(line), "%s\n", text);
    free(text);

    memmove(s->text + n, s->text, s->len);
    memcpy(s->text, line, (size_t) n);
    s->len += (size_t) n;

    p = logic_push_begin(s->thread, LOGIC_PUSH_MIDS, GOIM_OP_SIGNAL, s->text,
                         s->len, sizeof(logic_signal_t), logic_signal_told, s);

    if (p == NULL) {
        return;
    }

    nmids = s->nmids;
    p->mids = s->mids;          /* the push's now */
    s->mids = NULL;
    logic_lookup_mids(p, nmids);
}
