/*
 * Devices of a user: a session's key is one. The table follows the logins; one is
 * closed by a script (session_kick.lua), and does not come back with its token.
 */

#include "im.h"

#include "kick.h"
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#include "logic/lua/session_kick.lua.h"

#define LOGIC_KICK_REASON   123         /* bytes */
#define LOGIC_NOTE_TIME     3000        /* ms, at the bus */


/* ---- what is known of one ---- */

const char *
logic_im_text(const logic_im_do_t *d, const char *name, size_t max)
{
    json_t             *text;
    const logic_arg_t  *arg;

    arg = logic_query_find(d->q, name);

    if (arg == NULL) {
        return "";
    }

    text = arg->len <= max ? json_stringn(arg->value, arg->len) : NULL;

    if (text == NULL) {
        logic_im_answer(d, -400, "%s: no UTF-8 of at most %zu bytes", name, max);
        return NULL;
    }

    json_decref(text);

    return arg->value;
}


const char *
logic_im_key(const logic_im_do_t *d)
{
    return logic_im_need(d, "key") != NULL
           ? logic_im_text(d, "key", GOIM_KEY_MAX) : NULL;
}


void
logic_im_device(const logic_im_do_t *d)
{
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    if ((c.key = (char *) logic_im_key(d)) == NULL
        || (c.platform = (char *) logic_im_text(d, "platform",
                                                GOIM_IM_PLATFORM)) == NULL
        || (c.push_token = (char *) logic_im_text(d, "push_token",
                                                  GOIM_IM_PUSH)) == NULL)
    {
        return;
    }

    c.do_ = GOIM__IM_COMMAND__DO__DEVICE;
    c.set = (logic_query_find(d->q, "platform") != NULL ? 1u : 0)
            | (logic_query_find(d->q, "push_token") != NULL ? 2u : 0);

    logic_im_ask(d, &c);
}


static void
logic_im_note_done(bus_result_t result, void *data)
{
    logic_thread_t  *t = data;

    (void) result;

    t->im->asked--;
}


static size_t
logic_im_note_pack(const void *what, uint8_t *payload)
{
    return goim__im_command__pack(what, payload);
}


void
logic_im_note(logic_thread_t *t, Goim__ImCommand *c)
{
    int            n;
    char           mid[24];
    bus_message_t  m;

    if (bus_producer_down(t->im->bus)) {
        return;
    }

    n = snprintf(mid, sizeof(mid), "%" PRId64, c->mid);

    c->do_ = GOIM__IM_COMMAND__DO__DEVICE;
    c->at = svc_date();

    memset(&m, 0, sizeof(m));
    m.key = mid;
    m.key_len = (size_t) n;
    m.len = goim__im_command__get_packed_size(c);
    m.pack = logic_im_note_pack;
    m.what = c;
    m.from = t->from;
    m.timeout = LOGIC_NOTE_TIME;
    m.cb = logic_im_note_done;
    m.data = t;

    t->im->asked++;
    bus_produce(t->im->bus, &m);
}


void
logic_im_seen(logic_thread_t *t, const logic_who_t *who)
{
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    c.mid = who->mid;
    c.key = (char *) who->key;
    c.platform = (char *) who->platform;
    c.set = who->platform[0] != '\0';

    logic_im_note(t, &c);
}


/* ---- the list of them ---- */

typedef struct {
    logic_im_do_t  d;               /* but for its parameters */
    json_t        *list;
} logic_devices_t;


static void
logic_devices_end(logic_devices_t *l, int code, const char *message)
{
    json_t  *list;

    list = code == 0 ? json_incref(l->list) : NULL;
    l->d.told(l->d.door, code, message, list);
    json_decref(l->list);
    free(l);
}


/* Those that are connected now. */

static void
logic_devices_found(const store_place_t *place, size_t n, void *data)
{
    size_t            i, k;
    json_t           *device, *key;
    logic_devices_t  *l = data;

    if (place == NULL && n > 0) {
        logic_devices_end(l, -503, "it is not known who is connected: try "
                          "again");
        return;
    }

    json_array_foreach(l->list, i, device) {
        key = json_object_get(device, "key");

        for (k = 0; k < n; k++) {
            if (place[k].server != NULL
                && place[k].key_len == json_string_length(key)
                && memcmp(place[k].key, json_string_value(key),
                          place[k].key_len) == 0)
            {
                json_object_set_new(device, "online", json_true());
            }
        }
    }

    logic_devices_end(l, 0, "");
}


static void
logic_devices_read(const db_reply_t *reply, void *data)
{
    size_t             i;
    logic_devices_t   *l = data;
    const db_value_t  *v;

    if (reply->status != DB_OK) {
        logic_devices_end(l, -503, "the database does not answer: try again");
        return;
    }

    v = reply->rows[0].values;

    for (i = 0; i < reply->rows[0].nrows; i++, v += 5) {
        json_array_append_new(l->list,
                              json_pack("{s:s#, s:s#, s:s#, s:I, s:I, s:b}",
                                        "key", v[0].data, (int) v[0].len,
                                        "platform", v[1].data, (int) v[1].len,
                                        "push_token", v[2].data,
                                        (int) v[2].len, "seen",
                                        (json_int_t) v[3].n, "acked",
                                        (json_int_t) v[4].n, "online", 0));
    }

    if (store_find_mid(l->d.thread->store, l->d.mid, logic_devices_found, l)
        != 0)
    {
        logic_devices_found(NULL, 1, l);
    }
}


void
logic_im_devices(const logic_im_do_t *d)
{
    db_stmt_t         st;
    db_value_t        args[2];
    logic_devices_t  *l;

    static const char  text[] =
        "SELECT key, platform, push_token, seen, acked FROM device WHERE mid = $1 "
        "ORDER BY seen DESC, key LIMIT $2";

    l = malloc(sizeof(logic_devices_t));

    if (l == NULL) {
        abort();
    }

    l->d = *d;
    l->list = json_array();

    args[0] = db_int(d->mid);
    args[1] = db_int(GOIM_IM_DEVICES);
    st = (db_stmt_t) { text, args, 2 };

    db_run(d->thread->im->db, &st, 1, 0, logic_devices_read, l);
}


/* ---- one is closed ---- */

typedef struct {
    logic_im_do_t    d;             /* but for its parameters */
    Goim__ImCommand  c;
    char             key[GOIM_KEY_MAX + 1];
    char             reason[LOGIC_KICK_REASON + 1];
} logic_im_kick_t;


static void
logic_im_kicked(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_im_kick_t  *k = data;

    (void) r;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 3
        || reply->element[2]->type != REDIS_REPLY_STRING)
    {
        if (reply != NULL) {
            logic_redis_said("kick", reply);
        }

        logic_im_answer(&k->d, -503, "it is not done: try again");
        free(k);
        return;
    }

    if (reply->element[2]->len > 0) {
        metrics_add(logic_m.kicked, 1);
        logic_kick(k->d.thread, reply->element[2]->str,
                   reply->element[2]->len, k->key, strlen(k->key),
                   LOGIC_KICK_CLOSED, k->reason);
    }

    /* nor is it notified */

    logic_im_ask(&k->d, &k->c);
    free(k);
}


void
logic_im_kick(const logic_im_do_t *d)
{
    int               i;
    char              mid[24], ms[24];
    size_t            len[4];
    const char       *argv[4], *key, *reason;
    logic_thread_t   *t;
    logic_im_kick_t  *k;

    static svc_script_t  script = { .body = session_kick_lua };

    if ((key = logic_im_key(d)) == NULL
        || (reason = logic_im_text(d, "reason", LOGIC_KICK_REASON)) == NULL)
    {
        return;
    }

    k = malloc(sizeof(logic_im_kick_t));

    if (k == NULL) {
        abort();
    }

    t = d->thread;
    k->d = *d;
    strcpy(k->key, key);
    strcpy(k->reason, reason[0] != '\0' ? reason : "signed out");

    k->c = (Goim__ImCommand) GOIM__IM_COMMAND__INIT;
    k->c.do_ = GOIM__IM_COMMAND__DO__DEVICE;
    k->c.key = k->key;
    k->c.set = 2 | 4;

    snprintf(mid, sizeof(mid), "%" PRId64, d->mid);
    snprintf(ms, sizeof(ms), "%" PRId64, t->conf->ttl);

    argv[0] = svc_redis_prefix(t->redis);
    argv[1] = mid;
    argv[2] = k->key;
    argv[3] = ms;

    for (i = 0; i < 4; i++) {
        len[i] = strlen(argv[i]);
    }

    if (svc_redis_eval(t->redis, &script, logic_im_kicked, k, 0, 4, argv, len)
        != 0)
    {
        logic_im_answer(d, -503, "it is not done: try again");
        free(k);
    }
}
