/*
 * The table of commands, and their parameters.
 */

#include "im.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* ---- parameters ---- */

void
logic_im_answer(const logic_im_do_t *d, int code, const char *fmt, ...)
{
    char     message[256];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);

    d->told(d->door, code, message, NULL);
}


static const char *
logic_im_need(const logic_im_do_t *d, const char *name)
{
    const logic_arg_t  *arg;

    arg = logic_query_find(d->q, name);

    if (arg == NULL || arg->len == 0) {
        logic_im_answer(d, -400, "%s: required", name);
        return NULL;
    }

    return arg->value;
}


static const char *
logic_im_word(const logic_im_do_t *d, const char *name, size_t max,
    const char *missing)
{
    const char  *text;

    if (missing != NULL && logic_query_find(d->q, name) == NULL) {
        return missing;
    }

    text = logic_im_need(d, name);

    if (text != NULL && !im_word(text, max)) {
        logic_im_answer(d, -400, "%s: 1 to %zu visible characters of ASCII",
                        name, max);
        return NULL;
    }

    return text;
}


int
logic_im_number(const logic_im_do_t *d, const char *name, int required,
    int64_t max, int64_t *value)
{
    const logic_arg_t  *arg;

    arg = logic_query_find(d->q, name);
    *value = 0;

    if (arg == NULL && !required) {
        return 0;
    }

    if (arg == NULL || logic_query_number(arg, required, max, value) != 0) {
        logic_im_answer(d, -400, "%s: %s", name, arg == NULL ? "required"
                        : "not a number, or out of range");
        return -1;
    }

    return 0;
}


/* Of which mid may be a member. */

const char *
logic_im_conv(const logic_im_do_t *d)
{
    int64_t      low, high;
    im_type_t    type;
    const char  *conv;

    conv = logic_im_need(d, "conv");

    if (conv == NULL) {
        return NULL;
    }

    type = strlen(conv) > GOIM_IM_CONV ? IM_NONE : im_conv(conv, &low, &high);

    if (type == IM_NONE) {
        logic_im_answer(d, -400, "conv: neither p<mid>.<mid> nor g<mid>.<id>");
        return NULL;
    }

    if (type == IM_PAIR && d->mid != low && d->mid != high) {
        logic_im_answer(d, -403, "not a member");
        return NULL;
    }

    return conv;
}


/* "2", or a group: the conversation. -1: answered. */

static int
logic_im_to(const logic_im_do_t *d, char *conv)
{
    int64_t             low, high;
    const char         *to;
    const logic_arg_t  *arg;

    to = logic_im_need(d, "to");

    if (to == NULL) {
        return -1;
    }

    if (strlen(to) <= GOIM_IM_CONV && im_conv(to, &low, &high) == IM_GROUP) {
        strcpy(conv, to);
        return 0;
    }

    arg = logic_query_find(d->q, "to");

    if (logic_query_number(arg, 1, INT64_MAX, &low) != 0) {
        logic_im_answer(d, -400, "to: neither a mid nor g<mid>.<id>");
        return -1;
    }

    im_pair(conv, d->mid, low);

    return 0;
}


/* ---- commands ---- */

static void
logic_im_send(const logic_im_do_t *d)
{
    char             conv[GOIM_IM_CONV + 1];
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if (logic_im_to(d, conv) != 0
        || (c.id = (char *) logic_im_word(d, "id", GOIM_IM_ID, NULL)) == NULL
        || (c.kind = (char *) logic_im_word(d, "kind", GOIM_IM_KIND, "msg"))
           == NULL)
    {
        return;
    }

    if (d->q->msg_len > d->max) {
        logic_im_answer(d, -413, "the payload has more than %zu bytes",
                        d->max);
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__SEND;
    c.conv = conv;
    c.body.data = (uint8_t *) d->q->msg;
    c.body.len = d->q->msg_len;

    logic_im_ask(d, &c);
}


static void
logic_im_mark(const logic_im_do_t *d)
{
    int64_t          read;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if ((c.conv = (char *) logic_im_conv(d)) == NULL
        || logic_im_number(d, "read", 1, GOIM_SEQ_MAX, &read) != 0)
    {
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__READ;
    c.seq = (uint64_t) read;

    logic_im_ask(d, &c);
}


static void
logic_im_create(const logic_im_do_t *d)
{
    char             conv[GOIM_IM_CONV + 1];
    size_t           i;
    int64_t          mids[GOIM_IM_MEMBERS];
    const char      *id;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    id = logic_im_word(d, "id", GOIM_IM_ID, NULL);

    if (id == NULL) {
        return;
    }

    if (logic_query_count(d->q, "mids") >= GOIM_IM_MEMBERS) {
        logic_im_answer(d, -409, "a group of over %d members",
                        GOIM_IM_MEMBERS);
        return;
    }

    for (i = 0; i < d->q->nargs; i++) {
        if (strcmp(d->q->args[i].name, "mids") != 0) {
            continue;
        }

        if (logic_query_number(&d->q->args[i], 1, INT64_MAX,
                               &mids[c.n_mids++]) != 0)
        {
            logic_im_answer(d, -400, "mids: not a mid");
            return;
        }
    }

    snprintf(conv, sizeof(conv), "g%lld.%s", (long long) d->mid, id);

    c.do_ = GOIM__IM_COMMAND__DO__CREATE;
    c.conv = conv;
    c.mids = mids;

    logic_im_ask(d, &c);
}


static const struct {
    const char  *name;
    void       (*run)(const logic_im_do_t *d);
} logic_im_commands[] = {
    { "send", logic_im_send },
    { "read", logic_im_mark },
    { "group/create", logic_im_create },
    { "sync", logic_im_sync },
    { "history", logic_im_history },
    { "convs", logic_im_convs }
};


int
logic_im_do(const logic_im_do_t *d, const char *name)
{
    size_t  i;

    for (i = 0;
         i < sizeof(logic_im_commands) / sizeof(logic_im_commands[0]); i++)
    {
        if (strcmp(logic_im_commands[i].name, name) == 0) {
            logic_im_commands[i].run(d);
            return 0;
        }
    }

    return -1;
}
