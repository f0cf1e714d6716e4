/*
 * The application's word before a message is published ([before] url): it
 * allows it, refuses it with a reason, or replaces the payload. Without an
 * answer that can be understood nothing is sent.
 */

#include "send.h"

#include "base64url.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/log.h"

#define LOGIC_BEFORE_REASON  256        /* bytes that a client is told */
#define LOGIC_BEFORE_QUERY                                                   \
    (3 * (GOIM_KEY_MAX + GOIM_ROOM_MAX + HISTORY_ID_MAX)                     \
     + 21 * LOGIC_SEND_MIDS + 128)



typedef struct {
    size_t           max;
    logic_judge_pt   cb;
    void            *data;
} logic_before_t;


static size_t logic_before_query(const logic_send_t *s, char *out);
static void logic_send_judged(const logic_judged_t *judged, void *data);
static void logic_before_told(const logic_answer_t *answer, void *data);
static void logic_before_answer(logic_before_t *b, json_t *json);
static void logic_before_refused(logic_before_t *b, const char *reason);
static int logic_before_replace(const logic_before_t *b,
    logic_judged_t *judged, const json_t *text, const json_t *coded);
static void logic_before_failed(logic_before_t *b, const char *what);
static void logic_before_end(logic_before_t *b, const logic_judged_t *judged);


void
logic_before(logic_thread_t *t, const char *query, const char *about,
    const void *payload, size_t len, size_t max, logic_judge_pt cb, void *data)
{
    const char      *header[5];
    logic_before_t  *b;
    logic_judged_t   none = { GOIM_LATER, "no memory", NULL, 0 };

    b = malloc(sizeof(logic_before_t));

    if (b == NULL) {
        cb(&none, data);
        return;
    }

    b->max = max;
    b->cb = cb;
    b->data = data;

    header[0] = "Content-Type";
    header[1] = "application/octet-stream";
    header[2] = about[0] != '\0' ? "X-Goim-Data" : NULL;
    header[3] = about;
    header[4] = NULL;

    if (logic_hook_post(t->before, query, header, payload, len,
                        logic_before_told, b)
        != 0)
    {
        logic_before_failed(b, "too many messages wait for it");
    }
}


void
logic_send_before(logic_send_t *s)
{
    char  query[LOGIC_BEFORE_QUERY];

    if (s->thread->before == NULL) {
        logic_send_publish(s);
        return;
    }

    logic_before_query(s, query);
    logic_before(s->thread, query, s->about, s->payload, s->len,
                 (size_t) s->thread->conf->send_max, logic_send_judged, s);
}


static void
logic_send_judged(const logic_judged_t *judged, void *data)
{
    logic_send_t  *s = data;

    if (judged->code != 0) {
        logic_send_end(s, judged->code, judged->reason);
        return;
    }

    if (judged->payload != NULL) {
        s->owned = judged->payload;
        s->payload = judged->payload;
        s->len = judged->len;
    }

    logic_send_publish(s);
}


static size_t
logic_before_query(const logic_send_t *s, char *out)
{
    char    *p;
    size_t   i;

    p = out + sprintf(out, "mid=%" PRId64 "&operation=%d&key=", s->mid,
                      s->line.operation);
    p += logic_hook_escape(p, s->key, s->key_len);

    if (s->line.room_len > 0) {
        p = stpcpy(p, "&room=");
        p += logic_hook_escape(p, s->line.room, s->line.room_len);

    } else {
        for (i = 0; i < s->line.nmids; i++) {
            p += sprintf(p, "%s%" PRId64, i == 0 ? "&mids=" : ",",
                         s->line.mids[i]);
        }
    }

    if (s->line.id[0] != '\0') {
        p = stpcpy(p, "&id=");
        p += logic_hook_escape(p, s->line.id, strlen(s->line.id));
    }

    *p = '\0';

    return (size_t) (p - out);
}


static void
logic_before_told(const logic_answer_t *answer, void *data)
{
    logic_before_t  *b = data;

    char             what[64];
    json_t          *json;
    logic_judged_t   allowed = { 0, "", NULL, 0 };

    if (answer->status == 204) {
        metrics_add(logic_m.before[0], 1);
        logic_before_end(b, &allowed);

    } else if (answer->status == 200) {
        json = json_loadb(answer->body, answer->len, JSON_ALLOW_NUL, NULL);
        logic_before_answer(b, json);
        json_decref(json);

    } else if (answer->status == 0) {
        logic_before_failed(b, answer->error);

    } else {
        snprintf(what, sizeof(what), "it answers with status %d",
                 answer->status);
        logic_before_failed(b, what);
    }
}


/* {"allow":true}, with "payload" or "base64url" in its place, or
   {"allow":false,"reason":"..."} */

static void
logic_before_answer(logic_before_t *b, json_t *json)
{
    json_t          *allow, *text, *coded;
    logic_judged_t   judged = { 0, "", NULL, 0 };

    allow = json_object_get(json, "allow");
    text = json_object_get(json, "payload");
    coded = json_object_get(json, "base64url");

    if (!json_is_boolean(allow) || (text != NULL && coded != NULL)) {
        logic_before_failed(b, "its answer is none");
        return;
    }

    if (json_is_false(allow)) {
        logic_before_refused(b,
                             json_string_value(json_object_get(json,
                                                               "reason")));
        return;
    }

    if (text == NULL && coded == NULL) {
        metrics_add(logic_m.before[0], 1);

    } else if (logic_before_replace(b, &judged, text, coded) != 0) {
        logic_before_failed(b, "the payload in its answer is none, or longer "
                            "than it may be");
        return;

    } else {
        metrics_add(logic_m.before[2], 1);
    }

    logic_before_end(b, &judged);
}


static void
logic_before_refused(logic_before_t *b, const char *reason)
{
    char            text[LOGIC_BEFORE_REASON + 1];
    size_t          len;
    logic_judged_t  refused = { GOIM_FORBIDDEN, text, NULL, 0 };

    metrics_add(logic_m.before[1], 1);

    reason = reason != NULL ? reason : "refused";
    len = strnlen(reason, LOGIC_BEFORE_REASON);

    /* whole characters of UTF-8 */

    while (reason[len] != '\0' && ((uint8_t) reason[len] & 0xc0) == 0x80) {
        len--;
    }

    memcpy(text, reason, len);
    text[len] = '\0';

    logic_before_end(b, &refused);
}


static int
logic_before_replace(const logic_before_t *b, logic_judged_t *judged,
    const json_t *text, const json_t *coded)
{
    char     *payload;
    ssize_t   n;
    size_t    len;

    if (!json_is_string(text != NULL ? text : coded)) {
        return -1;
    }

    len = json_string_length(text != NULL ? text : coded);
    payload = malloc(len + 2);      /* of what is coded less remains */

    if (payload == NULL) {
        return -1;
    }

    if (text != NULL) {
        memcpy(payload, json_string_value(text), len);

    } else {
        n = logic_base64url(json_string_value(coded), len,
                            (uint8_t *) payload);
        len = n >= 0 ? (size_t) n : SIZE_MAX;
    }

    if (len > b->max) {
        free(payload);
        return -1;
    }

    judged->payload = payload;
    judged->len = len;

    return 0;
}


/* A message that the application could not judge is not sent. */

static void
logic_before_failed(logic_before_t *b, const char *what)
{
    logic_judged_t  failed = { GOIM_LATER, "it was not sent: try again", NULL,
                               0 };

    static log_once_t  once;

    log_seldom(&once, LOG_WARN, "before: the application does not judge a "
               "message: %s", what);

    metrics_add(logic_m.before[3], 1);
    logic_before_end(b, &failed);
}


static void
logic_before_end(logic_before_t *b, const logic_judged_t *judged)
{
    b->cb(judged, b->data);
    free(b);
}
