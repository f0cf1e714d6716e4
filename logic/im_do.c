/*
 * The table of commands, and their parameters.
 */

#include "im.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_IM_JSON   (JSON_DECODE_ANY | JSON_REJECT_DUPLICATES)
#define LOGIC_IM_DEPTH  64          /* of lists and objects in each other */


static const char *const  logic_im_joins[] = { "open", "ask", "closed", NULL };
static const char *const  logic_im_rules[] = { "all", "joined", NULL };
static const char *const  logic_im_roles[] = { "admin", "member", NULL };


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


const char *
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

    if (arg == NULL || arg->len == 0
        || logic_query_number(arg, required, max, value) != 0)
    {
        logic_im_answer(d, -400, "%s: %s", name, arg == NULL ? "required"
                        : "not a number, or out of range");
        return -1;
    }

    return 0;
}


int
logic_im_positive(const logic_im_do_t *d, const char *name, int64_t max,
    int64_t *value)
{
    if (logic_query_find(d->q, name) == NULL) {
        return 0;
    }

    return logic_im_number(d, name, 1, max, value);
}


/* A number, -1 where it is missing; -1: answered. */

static int
logic_im_maybe(const logic_im_do_t *d, const char *name, int64_t max,
    int64_t *value)
{
    if (logic_query_find(d->q, name) == NULL) {
        *value = -1;
        return 0;
    }

    return logic_im_number(d, name, 0, max, value);
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

    if (!im_kind_of_message(c.kind)) {
        logic_im_answer(d, -400, "kind: kept for changes of groups and for what "
                        "is no item");
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


/* It is read again inside of items and answers, as deep as a JSON library goes. */

static int
logic_im_deep(const json_t *json, int depth)
{
    size_t       i;
    json_t      *item;
    const char  *name;

    if (depth > LOGIC_IM_DEPTH) {
        return 1;
    }

    json_array_foreach(json, i, item) {
        if (logic_im_deep(item, depth + 1)) {
            return 1;
        }
    }

    json_object_foreach((json_t *) json, name, item) {
        if (logic_im_deep(item, depth + 1)) {
            return 1;
        }
    }

    return 0;
}


/* JSON of the application's, "" where it is missing; NULL: answered. */

static char *
logic_im_ext(const logic_im_do_t *d)
{
    int                 good;
    json_t             *json;
    const logic_arg_t  *arg;

    arg = logic_query_find(d->q, "ext");

    if (arg == NULL) {
        return (char *) "";
    }

    json = arg->len <= GOIM_IM_EXT
           ? json_loadb(arg->value, arg->len, LOGIC_IM_JSON, NULL) : NULL;
    good = json != NULL && !logic_im_deep(json, 0);
    json_decref(json);

    if (!good) {
        logic_im_answer(d, -400, "ext: no JSON of at most %d bytes and %d "
                        "levels", GOIM_IM_EXT, LOGIC_IM_DEPTH);
        return NULL;
    }

    return (char *) arg->value;
}


/* One's own settings of a conversation. */

static void
logic_im_settings(const logic_im_do_t *d)
{
    int64_t          notify;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if ((c.conv = (char *) logic_im_conv(d)) == NULL
        || logic_im_maybe(d, "notify", 1, &notify) != 0
        || (c.ext = logic_im_ext(d)) == NULL)
    {
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__SETTINGS;
    c.notify = (uint32_t) (notify + 1);

    logic_im_ask(d, &c);
}


/* ---- groups ---- */

/* The item's payload: what of the parameters the command is about. */

static void
logic_im_change(const logic_im_do_t *d, Goim__ImCommand *c)
{
    char    *text;
    size_t   i;
    json_t  *what, *mids;

    what = json_object();

    if (c->n_mids > 0) {
        mids = json_array();

        for (i = 0; i < c->n_mids; i++) {
            json_array_append_new(mids, json_integer(c->mids[i]));
        }

        json_object_set_new(what, "mids", mids);
    }

    if (c->role[0] != '\0') {
        json_object_set_new(what, "role", json_string(c->role));
    }

    if (c->do_ == GOIM__IM_COMMAND__DO__MEMBER && c->muted >= 0) {
        json_object_set_new(what, "muted", json_integer(c->muted));
    }

    if (c->join[0] != '\0') {
        json_object_set_new(what, "join", json_string(c->join));
    }

    if (c->do_ == GOIM__IM_COMMAND__DO__UPDATE && c->mute_all >= 0) {
        json_object_set_new(what, "mute_all", json_integer(c->mute_all));
    }

    if (c->owner > 0) {
        json_object_set_new(what, "owner", json_integer(c->owner));
    }

    if (c->do_ == GOIM__IM_COMMAND__DO__ANSWER) {
        json_object_set_new(what, "accept", json_integer(c->accept));
    }

    if (c->history[0] != '\0') {
        json_object_set_new(what, "history", json_string(c->history));
    }

    if (c->ext[0] != '\0') {
        json_object_set_new(what, "ext", json_loads(c->ext, LOGIC_IM_JSON,
                                                    NULL));
    }

    if (c->text[0] != '\0') {
        json_object_set_new(what, "text", json_string(c->text));
    }

    text = json_dumps(what, JSON_COMPACT);
    json_decref(what);

    if (text == NULL) {
        abort();
    }

    c->body.data = (uint8_t *) text;
    c->body.len = strlen(text);

    logic_im_ask(d, c);
    free(text);
}


/* -1: answered. mids has room for GOIM_IM_MEMBERS; each is there once. */

static int
logic_im_mids(const logic_im_do_t *d, Goim__ImCommand *c, int64_t *mids)
{
    size_t   i, k;
    int64_t  mid;

    if (logic_query_count(d->q, "mids") >= GOIM_IM_MEMBERS) {
        logic_im_answer(d, -409, "a group of over %d members",
                        GOIM_IM_MEMBERS);
        return -1;
    }

    c->mids = mids;

    for (i = 0; i < d->q->nargs; i++) {

        if (strcmp(d->q->args[i].name, "mids") != 0) {
            continue;
        }

        if (logic_query_number(&d->q->args[i], 1, INT64_MAX, &mid) != 0) {
            logic_im_answer(d, -400, "mids: not a mid");
            return -1;
        }

        for (k = 0; k < c->n_mids && mids[k] != mid; k++) {
            /* void */
        }

        if (k == c->n_mids) {
            mids[c->n_mids++] = mid;
        }
    }

    return 0;
}


/* One of these words, "" where it is missing; NULL: answered. */

static char *
logic_im_choice(const logic_im_do_t *d, const char *name,
    const char *const *words)
{
    size_t              i;
    const logic_arg_t  *arg;

    arg = logic_query_find(d->q, name);

    if (arg == NULL) {
        return (char *) "";
    }

    for (i = 0; words[i] != NULL; i++) {
        if (strcmp(arg->value, words[i]) == 0) {
            return (char *) arg->value;
        }
    }

    logic_im_answer(d, -400, "%s: none of what it may be", name);

    return NULL;
}


static void
logic_im_create(const logic_im_do_t *d)
{
    char             conv[GOIM_IM_CONV + 1];
    int64_t          mids[GOIM_IM_MEMBERS];
    const char      *id;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if ((id = logic_im_word(d, "id", GOIM_IM_ID, NULL)) == NULL
        || logic_im_mids(d, &c, mids) != 0
        || (c.join = logic_im_choice(d, "join", logic_im_joins)) == NULL
        || (c.history = logic_im_choice(d, "history", logic_im_rules)) == NULL
        || (c.ext = logic_im_ext(d)) == NULL)
    {
        return;
    }

    snprintf(conv, sizeof(conv), "g%lld.%s", (long long) d->mid, id);

    c.do_ = GOIM__IM_COMMAND__DO__CREATE;
    c.conv = conv;

    logic_im_change(d, &c);
}


/* The group, or NULL: answered. */

static char *
logic_im_group(const logic_im_do_t *d)
{
    const char  *conv;

    conv = logic_im_conv(d);

    if (conv != NULL && conv[0] != 'g') {
        logic_im_answer(d, -400, "conv: not a group");
        return NULL;
    }

    return (char *) conv;
}


static void
logic_im_members(const logic_im_do_t *d, Goim__ImCommand__Do what)
{
    int64_t          mids[GOIM_IM_MEMBERS];
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    c.do_ = what;
    c.conv = logic_im_group(d);

    if (c.conv == NULL || logic_im_mids(d, &c, mids) != 0) {
        return;
    }

    if (c.n_mids == 0) {
        logic_im_answer(d, -400, "mids: required");
        return;
    }

    logic_im_change(d, &c);
}


static void
logic_im_add(const logic_im_do_t *d)
{
    logic_im_members(d, GOIM__IM_COMMAND__DO__ADD);
}


static void
logic_im_remove(const logic_im_do_t *d)
{
    logic_im_members(d, GOIM__IM_COMMAND__DO__REMOVE);
}


static int
logic_im_utf8(const logic_arg_t *arg)
{
    json_t  *text;

    text = json_stringn(arg->value, arg->len);
    json_decref(text);

    return text != NULL;
}


static void
logic_im_join(const logic_im_do_t *d)
{
    const logic_arg_t  *text;

    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if ((c.conv = logic_im_group(d)) == NULL) {
        return;
    }

    text = logic_query_find(d->q, "text");

    if (text != NULL) {
        if (text->len > GOIM_IM_TEXT || !logic_im_utf8(text)) {
            logic_im_answer(d, -400, "text: no UTF-8 of at most %d bytes",
                            GOIM_IM_TEXT);
            return;
        }

        c.text = (char *) text->value;
    }

    c.do_ = GOIM__IM_COMMAND__DO__JOIN;

    logic_im_change(d, &c);
}


/* Whom it is about. Where mid names who acts it has another name. */

static int
logic_im_whom(const logic_im_do_t *d, int64_t *mid)
{
    const char  *name;

    name = d->names || logic_query_find(d->q, "member") != NULL ? "member"
                                                                : "mid";

    return logic_im_number(d, name, 1, INT64_MAX, mid);
}


static void
logic_im_reply(const logic_im_do_t *d)
{
    int64_t          mid, accept;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if ((c.conv = logic_im_group(d)) == NULL
        || logic_im_whom(d, &mid) != 0
        || logic_im_maybe(d, "accept", 1, &accept) != 0)
    {
        return;
    }

    if (accept < 0) {
        logic_im_answer(d, -400, "accept: required");
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__ANSWER;
    c.mids = &mid;
    c.n_mids = 1;
    c.accept = accept != 0;

    logic_im_change(d, &c);
}


static void
logic_im_dismiss(const logic_im_do_t *d)
{
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    c.do_ = GOIM__IM_COMMAND__DO__DISMISS;
    c.conv = logic_im_group(d);

    if (c.conv != NULL) {
        logic_im_change(d, &c);
    }
}


static void
logic_im_member(const logic_im_do_t *d)
{
    int64_t          member, muted;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if ((c.conv = logic_im_group(d)) == NULL
        || logic_im_whom(d, &member) != 0
        || (c.role = logic_im_choice(d, "role", logic_im_roles)) == NULL
        || logic_im_maybe(d, "muted", GOIM_IM_MUTED, &muted) != 0
        || (c.ext = logic_im_ext(d)) == NULL)
    {
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__MEMBER;
    c.mids = &member;
    c.n_mids = 1;
    c.muted = muted;

    logic_im_change(d, &c);
}


static void
logic_im_update(const logic_im_do_t *d)
{
    int64_t          mute, owner;
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    owner = 0;

    if ((c.conv = logic_im_group(d)) == NULL
        || (c.join = logic_im_choice(d, "join", logic_im_joins)) == NULL
        || logic_im_maybe(d, "mute_all", 1, &mute) != 0
        || logic_im_positive(d, "owner", INT64_MAX, &owner) != 0
        || (c.ext = logic_im_ext(d)) == NULL)
    {
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__UPDATE;
    c.mute_all = (int32_t) mute;
    c.owner = owner;

    logic_im_change(d, &c);
}


static const struct {
    const char  *name;
    void       (*run)(const logic_im_do_t *d);
    const char  *params;            /* each with a blank behind it */
} logic_im_commands[] = {
    { "send", logic_im_send, "to id kind " },
    { "read", logic_im_mark, "conv read " },
    { "conv", logic_im_settings, "conv notify ext " },
    { "group/create", logic_im_create, "id mids join history ext " },
    { "group/add", logic_im_add, "conv mids " },
    { "group/remove", logic_im_remove, "conv mids " },
    { "group/join", logic_im_join, "conv text " },
    { "group/answer", logic_im_reply, "conv member accept mid " },
    { "group/member", logic_im_member, "conv member role muted ext mid " },
    { "group/update", logic_im_update, "conv join mute_all owner ext " },
    { "group/dismiss", logic_im_dismiss, "conv " },
    { "group", logic_im_group_get, "conv " },
    { "group/members", logic_im_group_members, "conv after limit " },
    { "sync", logic_im_sync, "after epoch limit " },
    { "history", logic_im_history, "conv after before limit " },
    { "convs", logic_im_convs, "before conv limit " },
    { "device", logic_im_device, "key platform push_token " },
    { "devices", logic_im_devices, "" },
    { "kick", logic_im_kick, "key reason " },
    { "ticket", logic_im_ticket, "key platform ttl mid " }
};


/* NULL, or a parameter that there is not. */

static const char *
logic_im_unknown(const logic_im_do_t *d, const char *params)
{
    size_t       i, n;
    const char  *p, *name;

    for (i = 0; i < d->q->nargs; i++) {
        name = d->q->args[i].name;
        n = strlen(name);

        if (strcmp(name, d->names ? "mid" : "do") == 0) {
            continue;
        }

        for (p = params; *p != '\0'; p = strchr(p, ' ') + 1) {
            if (strncmp(p, name, n) == 0 && p[n] == ' '
                && memchr(name, ' ', n) == NULL)
            {
                break;
            }
        }

        if (*p == '\0') {
            return name;
        }
    }

    return NULL;
}


int
logic_im_do(const logic_im_do_t *d, const char *name)
{
    size_t         i, n;
    const char    *unknown;
    logic_im_do_t  named;

    n = sizeof(logic_im_commands) / sizeof(logic_im_commands[0]);

    for (i = 0; i < n && strcmp(logic_im_commands[i].name, name) != 0; i++) {
        /* void */
    }

    if (i == n) {
        return -1;
    }

    unknown = logic_im_unknown(d, logic_im_commands[i].params);

    if (unknown != NULL) {
        logic_im_answer(d, -400, "%.64s: no such parameter", unknown);

    } else {
        named = *d;
        named.name = logic_im_commands[i].name;
        logic_im_commands[i].run(&named);
    }

    return 0;
}
