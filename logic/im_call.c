/*
 * Commands between people by a client's socket: operation 4 to a mid or a group,
 * and operation 18, a line of JSON with its parameters, a newline, and the payload.
 *
 *     {"to":"2","id":"c1"}
 *     {"do":"group/create","id":"team","mids":[2,3]}
 */

#include "im.h"

#include "send.h"
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_IM_MARGIN   200           /* ms, for the answer's way back */


typedef struct {
    logic_call_t   *call;
    json_t         *line;           /* parameters lie in it, and in */
    logic_arg_t    *args;
    char           *numbers;        /* those that it has as numbers */
    char           *ext;            /* that which is JSON */
    logic_query_t   q;
} logic_im_line_t;


/* ---- the answer ---- */

/* {"code":0}, with the item's number, or what was asked for; or a code and a
   message, as by HTTP. */

static void
logic_im_told(void *door, int code, const char *message, json_t *data)
{
    char             *text;
    json_t           *json;
    Goim__Sent        answer = GOIM__SENT__INIT;
    Goim__Reply       reply = GOIM__REPLY__INIT;
    logic_im_line_t  *l = door;

    json = json_pack("{s:i}", "code", code);

    if (code != 0) {
        if (json_object_set_new(json, "message", json_string(message)) != 0) {
            /* a name that was cut inside of a character */
            json_object_set_new(json, "message",
                                json_string("a parameter is not valid"));
        }

        if (data != NULL) {
            json_object_update(json, data);     /* "after" */
        }

    } else if (json_object_get(l->line, "do") == NULL) {
        json_object_update(json, data);

    } else if (data != NULL) {
        json_object_set(json, "data", data);
    }

    text = json_dumps(json, JSON_COMPACT);

    if (text == NULL) {
        abort();
    }

    answer.answer.data = (uint8_t *) text;
    answer.answer.len = strlen(text);
    reply.reply_case = GOIM__REPLY__REPLY_SENT;
    reply.sent = &answer;

    logic_reply(l->call, &reply);

    free(text);
    json_decref(json);
    json_decref(data);
    json_decref(l->line);
    free(l->args);
    free(l->numbers);
    free(l->ext);
    free(l);
}


/* ---- the line ---- */

/* 0, or -1: neither text nor an integer. A text has no zero byte: jansson takes
   none. */

static int
logic_im_arg(logic_im_line_t *l, const char *name, json_t *value)
{
    char         *number;
    logic_arg_t  *arg;

    arg = &l->args[l->q.nargs];
    arg->name = name;

    if (json_is_string(value)) {
        arg->value = json_string_value(value);
        arg->len = json_string_length(value);

    } else if (json_is_integer(value)) {
        number = l->numbers + 24 * l->q.nargs;
        arg->len = (size_t) snprintf(number, 24, "%" JSON_INTEGER_FORMAT,
                                     json_integer_value(value));
        arg->value = number;

    } else {
        return -1;
    }

    l->q.nargs++;

    return 0;
}


/* By a route it is JSON as text: it is so here, too. */

static void
logic_im_ext(logic_im_line_t *l, const json_t *value)
{
    logic_arg_t  *arg;

    l->ext = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (l->ext == NULL) {
        abort();
    }

    arg = &l->args[l->q.nargs++];
    arg->name = "ext";
    arg->value = l->ext;
    arg->len = strlen(l->ext);
}


/* NULL, or the member that is none of what may be. */

static const char *
logic_im_args(logic_im_line_t *l)
{
    size_t       i, n;
    json_t      *value, *item;
    const char  *name;

    n = 0;

    json_object_foreach(l->line, name, value) {
        n += 1 + json_array_size(value);
    }

    l->args = calloc(n + 1, sizeof(logic_arg_t));
    l->numbers = calloc(n + 1, 24);
    l->q.args = l->args;

    if (l->args == NULL || l->numbers == NULL) {
        abort();
    }

    json_object_foreach(l->line, name, value) {

        if (strcmp(name, "ext") == 0) {
            logic_im_ext(l, value);
            continue;
        }

        /* a list is a parameter that HTTP has several times */

        if (!json_is_array(value) || strcmp(name, "mids") != 0) {
            if (logic_im_arg(l, name, value) != 0) {
                return name;
            }

            continue;
        }

        json_array_foreach(value, i, item) {
            if (logic_im_arg(l, name, item) != 0) {
                return name;
            }
        }
    }

    return NULL;
}


/* Whether it is for here: each 18, and a 4 that is to no room. */

static int
logic_im_mine(const Goim__Receive *r, json_t *line)
{
    json_t      *to;
    const char  *room;

    if (r->operation == GOIM_OP_COMMAND) {
        return 1;
    }

    to = json_object_get(line, "to");
    room = json_string_value(to);

    return json_object_get(line, "do") == NULL
           && (json_is_integer(to)
               || (room != NULL && strstr(room, "://") == NULL));
}


int
logic_im_call(logic_call_t *call, const logic_limits_t *limits)
{
    char              about[GOIM_DATA_MAX + 1];
    size_t            n;
    const char       *end, *name, *wrong;
    Goim__Receive    *r;
    logic_im_do_t     d;
    logic_im_line_t  *l;

    r = call->msg->receive;

    if (r->operation == GOIM_OP_SIGNAL) {
        logic_im_signal(call, limits);
        return 1;
    }

    end = r->body.len > 0 ? memchr(r->body.data, '\n', r->body.len) : NULL;
    n = end != NULL ? (size_t) (end - (char *) r->body.data) : r->body.len;

    l = calloc(1, sizeof(logic_im_line_t));
    if (l == NULL) {
        abort();
    }

    l->call = call;
    l->line = n <= GOIM_IM_LINE
              ? json_loadb((char *) r->body.data, n, JSON_REJECT_DUPLICATES,
                           NULL)
              : NULL;

    if (!logic_im_mine(r, l->line)) {
        json_decref(l->line);
        free(l);
        return 0;
    }

    l->q.msg = end != NULL ? end + 1 : "";
    l->q.msg_len = end != NULL ? r->body.len - n - 1 : 0;

    d.thread = call->thread;
    d.req = NULL;
    d.mid = r->mid;
    d.q = &l->q;
    d.max = (size_t) call->thread->conf->im_max_body;
    d.names = 0;
    d.rate = logic_send_limit(call->thread, limits, &d.burst);
    d.about = logic_call_data(r, about);
    d.until = call->deadline - LOGIC_IM_MARGIN;
    d.told = logic_im_told;
    d.door = l;

    if (!json_is_object(l->line)) {
        logic_im_answer(&d, -400, "the first line is no JSON object of at most "
                        "%d bytes", GOIM_IM_LINE);
        return 1;
    }

    wrong = logic_im_args(l);
    name = r->operation == GOIM_OP_COMMAND
           ? json_string_value(json_object_get(l->line, "do")) : "send";

    if (wrong != NULL) {
        logic_im_answer(&d, -400, "%.64s: neither text nor a whole number, nor "
                        "a list of mids", wrong);

    } else if (name == NULL || logic_im_do(&d, name) != 0) {
        logic_im_answer(&d, -400, "do: no such command");
    }

    return 1;
}
