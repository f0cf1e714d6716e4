/*
 * Pushes to users that are stored: commands for job, each for so many users; the
 * answer comes when all are carried out. The same id again does no harm.
 */

#include "im_http.h"

#include "im.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_PUSH_ID  16           /* bytes of randomness */


typedef struct {
    logic_thread_t  *thread;
    http_request_t  *req;
    char             id[GOIM_IM_ID + 1];
    char             conv[GOIM_IM_CONV + 1];
    int64_t         *mids;          /* in order, each once */
    size_t           n;
    size_t           waits;         /* commands, and who asks them */
    int              code;          /* the first that is not 0, and why */
    char             message[256];
    json_t          *data;
} logic_im_push_t;


static void
logic_im_push_end(logic_im_push_t *p)
{
    if (--p->waits > 0) {
        return;
    }

    if (p->code == 0) {
        metrics_add(logic_m.push_stored, 1);
    }

    logic_http_answer(p->thread, p->req, logic_im_status(p->code), p->code,
                      p->message, p->code == 0 ? json_incref(p->data) : NULL);
    json_decref(p->data);
    free(p->mids);
    free(p);
}


static void
logic_im_push_told(void *door, int code, const char *message, json_t *data)
{
    logic_im_push_t  *p = door;

    if (code != 0 && p->code == 0) {
        p->code = code;
        snprintf(p->message, sizeof(p->message), "%s", message);
    }

    if (code == 0 && p->data == NULL) {
        p->data = json_incref(data);
    }

    json_decref(data);
    logic_im_push_end(p);
}


static int
logic_im_push_cmp(const void *a, const void *b)
{
    int64_t  x, y;

    x = *(const int64_t *) a;
    y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}


/* Their numbers were looked at; those that nobody has are left out. */

static void
logic_im_push_mids(logic_im_push_t *p, const logic_query_t *q)
{
    size_t   i, n;
    int64_t  mid;

    for (i = 0; i < q->nargs; i++) {
        if (strcmp(q->args[i].name, "mids") == 0) {
            if (logic_query_number(&q->args[i], 1, INT64_MAX, &mid) == 0) {
                p->mids[p->n++] = mid;

            } else {
                metrics_add(logic_m.push_absent, 1);
            }
        }
    }

    qsort(p->mids, p->n, sizeof(int64_t), logic_im_push_cmp);

    for (i = 0, n = 0; i < p->n; i++) {
        if (n == 0 || p->mids[n - 1] != p->mids[i]) {
            p->mids[n++] = p->mids[i];
        }
    }

    p->n = n;
}


/* Its own, or one that nobody has. -1: answered */

static int
logic_im_push_id(logic_im_push_t *p, const logic_query_t *q)
{
    uint8_t             random[LOGIC_PUSH_ID];
    const logic_arg_t  *arg;

    arg = logic_query_find(q, "id");

    if (arg == NULL) {
        evutil_secure_rng_get_bytes(random, sizeof(random));
        bus_hex(p->id, random, sizeof(random));

    } else if (im_word(arg->value, GOIM_IM_ID)) {
        strcpy(p->id, arg->value);

    } else {
        logic_http_bad(p->thread, p->req, "id: not 1 to %d visible characters "
                       "of ASCII", GOIM_IM_ID);
        return -1;
    }

    snprintf(p->conv, sizeof(p->conv), "s.%s", p->id);

    return 0;
}


static void
logic_im_push_ask(logic_im_push_t *p, const logic_query_t *q,
    int32_t operation)
{
    size_t           at;
    logic_im_do_t    d;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    memset(&d, 0, sizeof(d));
    d.thread = p->thread;
    d.q = q;
    d.about = "";
    d.name = "push";
    d.until = svc_now() + LOGIC_IM_TIME;
    d.told = logic_im_push_told;
    d.door = p;

    c.do_ = GOIM__IM_COMMAND__DO__PUSH;
    c.id = p->id;
    c.conv = p->conv;
    c.operation = operation;
    c.body.data = (uint8_t *) q->msg;
    c.body.len = q->msg_len;

    for (at = 0; at < p->n; at += c.n_mids) {
        c.mids = p->mids + at;
        c.n_mids = p->n - at < GOIM_IM_PUSHED ? p->n - at : GOIM_IM_PUSHED;

        p->waits++;
        logic_im_ask(&d, &c);
    }

    logic_im_push_end(p);
}


void
logic_im_push(logic_thread_t *t, http_request_t *req, const logic_query_t *q,
    int32_t operation)
{
    logic_im_push_t  *p;

    if (q->msg_len > GOIM_IM_BODY) {
        logic_http_answer(t, req, 413, -413, "the message is longer than what "
                          "is stored", NULL);
        return;
    }

    p = calloc(1, sizeof(logic_im_push_t));

    if (p == NULL) {
        abort();
    }

    p->mids = malloc((logic_query_count(q, "mids") + 1) * sizeof(int64_t));

    if (p->mids == NULL) {
        abort();
    }

    p->thread = t;
    p->req = req;
    p->waits = 1;
    logic_im_push_mids(p, q);

    if (p->n == 0) {
        logic_http_bad(t, req, "mids: required");

    } else if (logic_im_push_id(p, q) == 0) {
        logic_im_push_ask(p, q, operation);
        return;
    }

    free(p->mids);
    free(p);
}
