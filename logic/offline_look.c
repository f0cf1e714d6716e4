/*
 * Whether a user is to be told of, and what: by what the database has now, of the
 * message, the member and its devices, and by the sessions that are there now.
 */

#include "offline.h"

#include "im.h"
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_OFFLINE_BODY   1024       /* bytes of a payload that are told */
#define LOGIC_OFFLINE_TEXT(n)   #n
#define LOGIC_OFFLINE_DIGITS(n) LOGIC_OFFLINE_TEXT(n)


static void logic_offline_read(const db_reply_t *reply, void *data);
static void logic_offline_sessions(registry_t *g, int ok, void *data);


void
logic_offline_look(logic_offline_t *o)
{
    size_t                i;
    db_stmt_t             st[2 * LOGIC_OFFLINE_BATCH];
    db_value_t            args[LOGIC_OFFLINE_BATCH][5], *a;
    logic_offline_one_t  *one;

    static const char  message[] =
        "SELECT b.notify, b.read, c.n - b.read_n, m.mid, m.cid, m.kind, m.at, "
        "CAST(LENGTH(m.body) AS BIGINT), "
        "SUBSTR(m.body, 1, " LOGIC_OFFLINE_DIGITS(LOGIC_OFFLINE_BODY) ") "
        "FROM member AS b JOIN conversation AS c ON c.id = b.conv "
        "JOIN message AS m ON m.conv = b.conv AND m.seq = $3 "
        "WHERE b.conv = $1 AND b.mid = $2";
    static const char  devices[] =
        "SELECT key, platform, push_token FROM device WHERE mid = $1 "
        "AND push_token <> '' ORDER BY seen DESC, key LIMIT $2";

    for (i = 0; i < o->n; i++) {
        one = &o->list[i];
        a = args[i];

        a[0] = db_text(one->conv, strlen(one->conv));
        a[1] = db_int(one->mid);
        a[2] = db_int(strtoll(one->upto, NULL, 10));
        a[3] = db_int(one->mid);
        a[4] = db_int(GOIM_IM_DEVICES);

        st[2 * i] = (db_stmt_t) { message, a, 3 };
        st[2 * i + 1] = (db_stmt_t) { devices, a + 3, 2 };
    }

    db_run(o->thread->im->db, st, 2 * o->n, 0, logic_offline_read, o);
}


/* ---- what is told ---- */

/* Whole characters of what is text; `cut`: there is more. */

static json_t *
logic_offline_payload(const db_value_t *v, int cut)
{
    size_t   n;
    json_t  *text;

    for (n = v->len; cut && n > 0 && n + 4 > v->len; n--) {
        text = json_stringn(v->data, n);

        if (text != NULL) {
            return json_pack("{s:o}", "body", text);
        }
    }

    return logic_im_payload(v->data, v->len);
}


static json_t *
logic_offline_devices(const db_rows_t *rows)
{
    size_t             i;
    json_t            *list, *device;
    const db_value_t  *v;

    list = json_array();

    for (i = 0, v = rows->values; i < rows->nrows; i++, v += rows->ncols) {
        device = json_pack("{s:s#, s:s#, s:s#}", "key", v[0].data,
                           (int) v[0].len, "platform", v[1].data,
                           (int) v[1].len, "push_token", v[2].data,
                           (int) v[2].len);

        if (device != NULL) {
            json_array_append_new(list, device);
        }
    }

    return list;
}


static json_t *
logic_offline_told(const logic_offline_one_t *one, const db_value_t *v,
    const db_rows_t *devices)
{
    int      cut;
    json_t  *told, *payload;

    cut = v[7].n > (int64_t) v[8].len;
    payload = logic_offline_payload(&v[8], cut);

    told = json_pack("{s:o, s:I, s:s, s:I, s:I, s:I, s:I, s:s#, s:s#, s:I, "
                     "s:b, s:o}",
                     "id", json_sprintf("%s/%s", one->who, one->upto),
                     "mid", (json_int_t) one->mid,
                     "conv", one->conv,
                     "unread", (json_int_t) v[2].n,
                     "count", (json_int_t) (one->count < v[2].n ? one->count
                                                                : v[2].n),
                     "seq", (json_int_t) strtoll(one->upto, NULL, 10),
                     "from", (json_int_t) v[3].n,
                     "message_id", v[4].data, (int) v[4].len,
                     "kind", v[5].data, (int) v[5].len,
                     "at", (json_int_t) v[6].n,
                     "cut", cut,
                     "devices", logic_offline_devices(devices));

    if (told != NULL) {
        json_object_update(told, payload);
    }

    json_decref(payload);

    return told;
}


/* Not of who has read it, has left, or wants to hear nothing. */

static int
logic_offline_wanted(const logic_offline_one_t *one, const db_rows_t *rows)
{
    const db_value_t  *v;

    v = rows->values;

    return rows->nrows == 1 && one->mid > 0 && v[0].n != 0
           && v[1].n < strtoll(one->upto, NULL, 10) && v[2].n > 0;
}


static void
logic_offline_read(const db_reply_t *reply, void *data)
{
    size_t                i;
    logic_offline_t      *o = data;
    logic_offline_one_t  *one;

    if (reply->status != DB_OK) {
        logic_offline_looked(o, -1);
        return;
    }

    for (i = 0; i < o->n; i++) {
        one = &o->list[i];

        if (logic_offline_wanted(one, &reply->rows[2 * i])) {
            one->told = logic_offline_told(one, reply->rows[2 * i].values,
                                           &reply->rows[2 * i + 1]);
        }
    }

    /* a node that has just come has sessions, too */

    if (registry_read(o->thread->registry, logic_offline_sessions, o) != 0) {
        logic_offline_looked(o, -1);
    }
}


/* ---- who is here again ---- */

static void
logic_offline_sure(int sure, void *data)
{
    logic_offline_t  *o = data;

    logic_offline_looked(o, sure == 1 ? 0 : -1);
}


/* A Redis that is new does not know all sessions yet. */

static void
logic_offline_called(logic_offline_t *o)
{
    if (--o->calls > 0) {
        return;
    }

    if (o->unknown || store_sure(o->thread->store, logic_offline_sure, o) != 0) {
        logic_offline_looked(o, -1);
    }
}


static void
logic_offline_found(const store_place_t *place, size_t n, void *data)
{
    size_t                i;
    char                  server[GOIM_SERVER_MAX + 1];
    logic_offline_t      *o;
    logic_offline_one_t  *one = data;

    o = one->offline;
    o->unknown |= place == NULL;

    for (i = 0; i < n; i++) {

        if (place[i].server == NULL || place[i].len > GOIM_SERVER_MAX) {
            continue;
        }

        snprintf(server, sizeof(server), "%.*s", (int) place[i].len,
                 place[i].server);

        if (registry_find(o->thread->registry, server) != NULL) {
            json_decref(one->told);
            one->told = NULL;
            break;
        }
    }

    logic_offline_called(o);
}


static void
logic_offline_sessions(registry_t *g, int ok, void *data)
{
    size_t            i;
    logic_offline_t  *o = data;

    (void) g;

    o->calls = 1;
    o->unknown = !ok;

    for (i = 0; i < o->n; i++) {
        if (o->list[i].told == NULL) {
            continue;
        }

        if (store_find_mid(o->thread->store, o->list[i].mid,
                           logic_offline_found, &o->list[i])
            == 0)
        {
            o->calls++;
        } else {
            o->unknown = 1;
        }
    }

    logic_offline_called(o);
}
