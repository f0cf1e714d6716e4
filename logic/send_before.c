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


static size_t logic_before_query(const logic_send_t *s, char *out);
static void logic_before_told(const logic_answer_t *answer, void *data);
static void logic_before_answer(logic_send_t *s, json_t *json);
static void logic_before_refused(logic_send_t *s, const char *reason);
static int logic_before_replace(logic_send_t *s, const json_t *text,
    const json_t *coded);
static void logic_before_failed(logic_send_t *s, const char *what);


void
logic_send_before(logic_send_t *s)
{
    char         query[LOGIC_BEFORE_QUERY];
    const char  *header[5];

    if (s->thread->before == NULL) {
        logic_send_publish(s);
        return;
    }

    logic_before_query(s, query);

    header[0] = "Content-Type";
    header[1] = "application/octet-stream";
    header[2] = s->about[0] != '\0' ? "X-Goim-Data" : NULL;
    header[3] = s->about;
    header[4] = NULL;

    if (logic_hook_post(s->thread->before, query, header, s->payload, s->len,
                        logic_before_told, s)
        != 0)
    {
        logic_before_failed(s, "too many messages wait for it");
    }
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
    logic_send_t  *s = data;

    char     what[64];
    json_t  *json;

    if (answer->status == 204) {
        metrics_add(logic_m.before[0], 1);
        logic_send_publish(s);

    } else if (answer->status == 200) {
        json = json_loadb(answer->body, answer->len, JSON_ALLOW_NUL, NULL);
        logic_before_answer(s, json);
        json_decref(json);

    } else if (answer->status == 0) {
        logic_before_failed(s, answer->error);

    } else {
        snprintf(what, sizeof(what), "it answers with status %d",
                 answer->status);
        logic_before_failed(s, what);
    }
}


/* {"allow":true}, with "payload" or "base64url" in its place, or
   {"allow":false,"reason":"..."} */

static void
logic_before_answer(logic_send_t *s, json_t *json)
{
    json_t  *allow, *text, *coded;

    allow = json_object_get(json, "allow");
    text = json_object_get(json, "payload");
    coded = json_object_get(json, "base64url");

    if (!json_is_boolean(allow) || (text != NULL && coded != NULL)) {
        logic_before_failed(s, "its answer is none");
        return;
    }

    if (json_is_false(allow)) {
        logic_before_refused(s,
                             json_string_value(json_object_get(json,
                                                               "reason")));
        return;
    }

    if (text == NULL && coded == NULL) {
        metrics_add(logic_m.before[0], 1);

    } else if (logic_before_replace(s, text, coded) != 0) {
        logic_before_failed(s, "the payload in its answer is none, or longer "
                            "than [send] max_size");
        return;

    } else {
        metrics_add(logic_m.before[2], 1);
    }

    logic_send_publish(s);
}


static void
logic_before_refused(logic_send_t *s, const char *reason)
{
    char    text[LOGIC_BEFORE_REASON + 1];
    size_t  len;

    metrics_add(logic_m.before[1], 1);

    reason = reason != NULL ? reason : "refused";
    len = strnlen(reason, LOGIC_BEFORE_REASON);

    /* whole characters of UTF-8 */

    while (reason[len] != '\0' && ((uint8_t) reason[len] & 0xc0) == 0x80) {
        len--;
    }

    memcpy(text, reason, len);
    text[len] = '\0';

    logic_send_end(s, GOIM_FORBIDDEN, text);
}


static int
logic_before_replace(logic_send_t *s, const json_t *text,
    const json_t *coded)
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

    if (len > (size_t) s->thread->conf->send_max) {
        free(payload);
        return -1;
    }

    s->owned = payload;
    s->payload = payload;
    s->len = len;

    return 0;
}


/* A message that the application could not judge is not sent. */

static void
logic_before_failed(logic_send_t *s, const char *what)
{
    static log_once_t  once;

    log_seldom(&once, LOG_WARN, "before: the application does not judge a "
               "message: %s", what);

    metrics_add(logic_m.before[3], 1);
    logic_send_end(s, GOIM_LATER, "it was not sent: try again");
}
