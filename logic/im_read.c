/*
 * What is stored of messages between people: inboxes, conversations, lists of
 * them. Everything of an answer comes from one statement.
 */

#include "im.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


typedef struct {
    logic_im_told_pt   told;
    void              *door;
    int64_t            limit;
    int                backwards;
    size_t             bytes;       /* of bodies, so far */
    int64_t            after;       /* of an inbox: what the client has, */
    char               epoch[GOIM_EPOCH_MAX + 1];   /* and of which; or "" */
} logic_im_page_t;


/* ---- answers ---- */

json_t *
logic_im_payload(const void *data, size_t len)
{
    char     *text;
    size_t    n;
    json_t   *value;

    /* JSON takes what is UTF-8 as it is; other payloads as base64 */

    value = json_stringn(len > 0 ? data : "", len);

    if (value != NULL) {
        return json_pack("{s:o}", "body", value);
    }

    n = 4 * ((len + 2) / 3);
    text = malloc(n + 1);

    if (text == NULL) {
        abort();
    }

    EVP_EncodeBlock((unsigned char *) text, data, (int) len);
    value = json_pack("{s:s}", "base64", text);
    free(text);

    return value;
}


/* seq, n, mid, cid, kind, at, body, from the message's row; NULL: no text is there
   where there should be */

static json_t *
logic_im_item(const char *conv, const db_value_t *v)
{
    json_t  *item, *body;

    item = json_pack("{s:s, s:I, s:I, s:I, s:s#, s:s#, s:I}",
                     "conv", conv, "seq", (json_int_t) v[0].n,
                     "n", (json_int_t) v[1].n, "mid", (json_int_t) v[2].n,
                     "id", v[3].data, (int) v[3].len,
                     "kind", v[4].data, (int) v[4].len,
                     "at", (json_int_t) v[5].n);
    if (item == NULL) {
        return NULL;
    }

    body = logic_im_payload(v[6].data, v[6].len);

    if (body == NULL) {
        abort();
    }

    json_object_update(item, body);
    json_decref(body);

    return item;
}


static json_t *
logic_im_entry(const char *conv, const char *key, const db_value_t *member)
{
    char    *text;
    json_t  *state;

    text = im_state(conv, key, member);
    state = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);

    return state;
}


/* What was pushed and stored, of which nobody is the sender. */

static json_t *
logic_im_pushed(const db_value_t *message, const db_value_t *operation)
{
    json_t  *item;

    item = logic_im_item("", message);

    if (item == NULL) {
        return NULL;
    }

    json_object_del(item, "conv");
    json_object_del(item, "seq");
    json_object_del(item, "n");
    json_object_del(item, "mid");
    json_object_set_new(item, "operation", json_integer(operation->n));

    return item;
}


/* A page has so many bytes of bodies, or one. */

static int
logic_im_fits(logic_im_page_t *p, const db_value_t *body)
{
    size_t  before;

    before = p->bytes;
    p->bytes += body->len;

    return before == 0 || p->bytes <= GOIM_PAGE_BYTES;
}


static void
logic_im_tell(logic_im_page_t *p, int code, const char *message, json_t *data)
{
    p->told(p->door, code, message, data);
    free(p);
}


static void
logic_im_failed(logic_im_page_t *p)
{
    logic_im_tell(p, -503, "the database does not answer: try again", NULL);
}


static logic_im_page_t *
logic_im_page(const logic_im_do_t *d)
{
    int64_t           limit;
    logic_im_page_t  *p;

    limit = GOIM_IM_PAGE;

    if (logic_im_positive(d, "limit", GOIM_IM_PAGE, &limit) != 0) {
        return NULL;
    }

    p = calloc(1, sizeof(logic_im_page_t));

    if (p == NULL) {
        logic_im_answer(d, -503, "no memory");
        return NULL;
    }

    p->told = d->told;
    p->door = d->door;
    p->limit = limit;

    return p;
}


/* ---- an inbox ---- */

/* The entries that fit, up to the first that does not: a client goes on behind the
   last one. What has no item any more is a gap. */

static json_t *
logic_im_entries(logic_im_page_t *p, const db_rows_t *rows)
{
    int                state;
    size_t             i;
    json_t            *items, *item;
    const db_value_t  *v;

    items = json_array();

    for (i = 0, v = rows->values; i < rows->nrows; i++, v += rows->ncols) {

        state = v[INBOX_KEY].type == DB_TEXT && v[INBOX_MEMBER].type == DB_INT;

        if (v[INBOX_SEQ].type != DB_INT
            || (!state && v[INBOX_ITEM].type != DB_INT))
        {
            continue;
        }

        if (!logic_im_fits(p, &v[state ? INBOX_OWN : INBOX_TEXT])) {
            break;
        }

        item = state ? logic_im_entry(v[INBOX_CONV].data, v[INBOX_KEY].data,
                                      &v[INBOX_MEMBER])
               : v[INBOX_MID].n == 0
               ? logic_im_pushed(&v[INBOX_ITEM], &v[INBOX_OPERATION])
               : logic_im_item(v[INBOX_CONV].data, &v[INBOX_ITEM]);

        if (item != NULL) {
            json_object_set_new(item, "inbox", json_integer(v[INBOX_SEQ].n));
            json_array_append_new(items, item);
        }
    }

    return items;
}


/* Whether what the client has is of this inbox, and what follows is still kept. */

static int
logic_im_follows(const logic_im_page_t *p, const db_value_t *v)
{
    return strlen(p->epoch) == v[INBOX_EPOCH].len
           && memcmp(p->epoch, v[INBOX_EPOCH].data, v[INBOX_EPOCH].len) == 0
           && p->after >= v[INBOX_FIRST].n - 1;
}


static void
logic_im_synced(const db_reply_t *reply, void *data)
{
    int                follows;
    json_t            *page;
    logic_im_page_t   *p = data;
    const db_rows_t   *rows;
    const db_value_t  *v;

    rows = reply->status == DB_OK ? &reply->rows[0] : NULL;

    if (rows == NULL || rows->nrows == 0) {
        logic_im_failed(p);
        return;
    }

    v = rows->values;
    follows = p->epoch[0] == '\0' || logic_im_follows(p, v);

    page = json_pack("{s:s#, s:I, s:o}", "epoch", v[INBOX_EPOCH].data,
                     (int) v[INBOX_EPOCH].len, "seq",
                     (json_int_t) v[INBOX_HEAD].n, "items",
                     follows ? logic_im_entries(p, rows) : json_array());

    if (p->epoch[0] != '\0') {
        json_object_set_new(page, "recovered", json_boolean(follows));
    }

    logic_im_tell(p, 0, "", page);
}


/* -1: answered */

static int
logic_im_epoch(const logic_im_do_t *d, char *epoch)
{
    const logic_arg_t  *arg;

    epoch[0] = '\0';
    arg = logic_query_find(d->q, "epoch");

    if (arg == NULL) {
        return 0;
    }

    if (!im_word(arg->value, GOIM_EPOCH_MAX)) {
        logic_im_answer(d, -400, "epoch: 1 to %d visible characters of ASCII",
                        GOIM_EPOCH_MAX);
        return -1;
    }

    strcpy(epoch, arg->value);

    return 0;
}


void
logic_im_sync(const logic_im_do_t *d)
{
    char              epoch[GOIM_EPOCH_MAX + 1];
    int64_t           after;
    db_stmt_t         st;
    db_value_t        args[3];
    logic_im_page_t  *p;

    static const char  text[] = LOGIC_INBOX("$2");

    if (logic_im_number(d, "after", 0, GOIM_SEQ_MAX, &after) != 0
        || logic_im_epoch(d, epoch) != 0 || (p = logic_im_page(d)) == NULL)
    {
        return;
    }

    p->after = after;
    strcpy(p->epoch, epoch);

    args[0] = db_int(d->mid);
    args[1] = db_int(after);
    args[2] = db_int(p->limit);
    st = (db_stmt_t) { text, args, 3 };

    db_run(d->thread->im->db, &st, 1, 0, logic_im_synced, p);
}


/* ---- a conversation ---- */

/* A member sees it; whether one is stands in each row. */

static void
logic_im_paged(const db_reply_t *reply, void *data)
{
    size_t             i;
    json_t            *items;
    logic_im_page_t   *p = data;
    const db_rows_t   *rows;
    const db_value_t  *v;

    if (reply->status != DB_OK) {
        logic_im_failed(p);
        return;
    }

    rows = &reply->rows[0];

    if (rows->nrows == 0) {
        logic_im_tell(p, -403, "not a member", NULL);
        return;
    }

    items = json_array();

    for (i = 0, v = rows->values; i < rows->nrows; i++, v += rows->ncols) {

        if (v[3].type != DB_INT || !logic_im_fits(p, &v[9])) {
            break;
        }

        json_array_insert_new(items, p->backwards ? 0 : json_array_size(items),
                              logic_im_item(v[2].data, &v[3]));
    }

    v = rows->values;
    logic_im_tell(p, 0, "",
                  json_pack("{s:I, s:I, s:o}", "seq", (json_int_t) v[0].n,
                            "read", (json_int_t) v[1].n, "items", items));
}


void
logic_im_history(const logic_im_do_t *d)
{
    int64_t           after, before;
    db_stmt_t         st;
    db_value_t        args[4];
    const char       *conv;
    logic_im_page_t  *p;

#define LOGIC_IM_ITEMS(condition, order)                                     \
        "SELECT c.seq, b.read, c.id, m.seq, m.n, m.mid, m.cid, m.kind, "     \
        "m.at, m.body FROM member AS b JOIN conversation AS c "              \
        "ON c.id = b.conv LEFT JOIN message AS m ON m.conv = b.conv AND "    \
        "m.seq " condition " $3 AND (c.history = 'all' OR m.seq > b.since) " \
        "WHERE b.conv = $1 AND b.mid = $2 "                                  \
        "ORDER BY m.seq " order " LIMIT $4"

    static const char  up[] = LOGIC_IM_ITEMS(">", "ASC");
    static const char  down[] = LOGIC_IM_ITEMS("<", "DESC");

    before = INT64_MAX;

    if ((conv = logic_im_conv(d)) == NULL
        || logic_im_number(d, "after", 0, GOIM_SEQ_MAX, &after) != 0
        || logic_im_positive(d, "before", GOIM_SEQ_MAX, &before) != 0
        || (p = logic_im_page(d)) == NULL)
    {
        return;
    }

    p->backwards = logic_query_find(d->q, "after") == NULL;

    if (!p->backwards && logic_query_find(d->q, "before") != NULL) {
        logic_im_answer(d, -400, "before: not together with after");
        free(p);
        return;
    }

    args[0] = db_text(conv, strlen(conv));
    args[1] = db_int(d->mid);
    args[2] = db_int(p->backwards ? before : after);
    args[3] = db_int(p->limit);
    st = (db_stmt_t) { p->backwards ? down : up, args, 4 };

    db_run(d->thread->im->db, &st, 1, 0, logic_im_paged, p);
}


/* ---- the list of conversations ---- */

/* JSON of the application's */

static json_t *
logic_im_json(const db_value_t *v)
{
    json_t  *json;

    json = json_loadb(v->data, v->len, JSON_DECODE_ANY, NULL);

    return json != NULL ? json : json_null();
}


static void
logic_im_listed(const db_reply_t *reply, void *data)
{
    size_t             i;
    json_t            *list, *conv;
    logic_im_page_t   *p = data;
    const db_rows_t   *rows;
    const db_value_t  *v;

    if (reply->status != DB_OK) {
        logic_im_failed(p);
        return;
    }

    rows = &reply->rows[0];
    list = json_array();
    v = rows->values;

    for (i = 0; i < rows->nrows && logic_im_fits(p, &v[11]);
         i++, v += rows->ncols)
    {
        conv = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "conv",
                         v[0].data, "n", (json_int_t) v[1].n, "read_n",
                         (json_int_t) v[2].n, "read", (json_int_t) v[3].n,
                         "at", (json_int_t) v[4].n, "notify",
                         (json_int_t) v[12].n, "ext", logic_im_json(&v[13]));
        json_object_set_new(conv, "last", logic_im_item(v[0].data, &v[5]));
        json_array_append_new(list, conv);
    }

    logic_im_tell(p, 0, "", list);
}


/* By the time of the newest item, and by name where it is the same. Of as many as a
   page has the item is looked up. */

void
logic_im_convs(const logic_im_do_t *d)
{
    int64_t           before;
    db_stmt_t         st;
    db_value_t        args[4];
    const char       *conv;
    logic_im_page_t  *p;

    static const char  text[] =
        "SELECT l.id, l.n, l.read_n, l.read, l.at, m.seq, m.n, m.mid, m.cid, "
        "m.kind, m.at, m.body, l.notify, l.own FROM (SELECT c.id, c.seq, c.n, "
        "c.at, b.read_n, b.read, b.notify, b.own FROM member AS b "
        "JOIN conversation AS c ON c.id = b.conv "
        "WHERE b.mid = $1 AND (c.at < $2 OR (c.at = $2 AND c.id > $3)) "
        "ORDER BY c.at DESC, c.id LIMIT $4) AS l "
        "JOIN message AS m ON m.conv = l.id AND m.seq = l.seq "
        "ORDER BY l.at DESC, l.id";

    conv = "z";             /* behind all of them, in each collation */
    before = INT64_MAX;

    if (logic_im_positive(d, "before", INT64_MAX, &before) != 0
        || (logic_query_find(d->q, "conv") != NULL
            && (conv = logic_im_conv(d)) == NULL)
        || (p = logic_im_page(d)) == NULL)
    {
        return;
    }

    args[0] = db_int(d->mid);
    args[1] = db_int(before);
    args[2] = db_text(conv, strlen(conv));
    args[3] = db_int(p->limit);
    st = (db_stmt_t) { text, args, 4 };

    db_run(d->thread->im->db, &st, 1, 0, logic_im_listed, p);
}


/* ---- groups ---- */

static const char *const  logic_im_roles[] = { "member", "admin", "owner" };


static const char *
logic_im_role(const db_value_t *v)
{
    return v->n >= 0 && v->n <= 2 ? logic_im_roles[v->n] : "member";
}


static const char *
logic_im_group(const logic_im_do_t *d)
{
    const char  *conv;

    conv = logic_im_conv(d);

    if (conv != NULL && conv[0] != 'g') {
        logic_im_answer(d, -400, "conv: not a group");
        return NULL;
    }

    return conv;
}


static void
logic_im_group_got(const db_reply_t *reply, void *data)
{
    json_t            *group;
    logic_im_page_t   *p = data;
    const db_value_t  *v;

    if (reply->status != DB_OK) {
        logic_im_failed(p);
        return;
    }

    if (reply->rows[0].nrows == 0) {
        logic_im_tell(p, -403, "not a member", NULL);
        return;
    }

    v = reply->rows[0].values;
    group = json_pack("{s:s, s:I, s:I, s:I, s:s#, s:b, s:s#, s:o}",
                      "conv", v[0].data, "seq", (json_int_t) v[1].n,
                      "n", (json_int_t) v[2].n, "at", (json_int_t) v[3].n,
                      "join", v[4].data, (int) v[4].len,
                      "mute_all", v[5].n != 0,
                      "history", v[6].data, (int) v[6].len,
                      "ext", logic_im_json(&v[7]));
    json_object_set_new(group, "role", json_string(logic_im_role(&v[8])));
    json_object_set_new(group, "owner", json_integer(v[9].n));
    json_object_set_new(group, "members", json_integer(v[10].n));

    logic_im_tell(p, 0, "", group);
}


void
logic_im_group_get(const logic_im_do_t *d)
{
    db_stmt_t         st;
    db_value_t        args[2];
    const char       *conv;
    logic_im_page_t  *p;

    static const char  text[] =
        "SELECT c.id, c.seq, c.n, c.at, c.rule, c.mute_all, c.history, c.ext, "
        "b.role, (SELECT MAX(o.mid) FROM member AS o WHERE o.conv = c.id "
        "AND o.role = 2), (SELECT COUNT(*) FROM member AS o "
        "WHERE o.conv = c.id) FROM member AS b "
        "JOIN conversation AS c ON c.id = b.conv "
        "WHERE b.conv = $1 AND b.mid = $2";

    if ((conv = logic_im_group(d)) == NULL || (p = logic_im_page(d)) == NULL) {
        return;
    }

    args[0] = db_text(conv, strlen(conv));
    args[1] = db_int(d->mid);
    st = (db_stmt_t) { text, args, 2 };

    db_run(d->thread->im->db, &st, 1, 0, logic_im_group_got, p);
}


static void
logic_im_members_got(const db_reply_t *reply, void *data)
{
    size_t             i;
    json_t            *list;
    logic_im_page_t   *p = data;
    const db_rows_t   *rows;
    const db_value_t  *v;

    if (reply->status != DB_OK) {
        logic_im_failed(p);
        return;
    }

    rows = &reply->rows[0];

    if (rows->nrows == 0) {
        logic_im_tell(p, -403, "not a member", NULL);
        return;
    }

    list = json_array();

    for (i = 0, v = rows->values; i < rows->nrows; i++, v += rows->ncols) {
        if (v[0].type != DB_INT || !logic_im_fits(p, &v[3])) {
            break;
        }

        json_array_append_new(list,
                              json_pack("{s:I, s:s, s:I, s:o}", "mid",
                                        (json_int_t) v[0].n, "role",
                                        logic_im_role(&v[1]), "muted",
                                        (json_int_t) v[2].n, "ext",
                                        logic_im_json(&v[3])));
    }

    logic_im_tell(p, 0, "", list);
}


void
logic_im_group_members(const logic_im_do_t *d)
{
    int64_t           after;
    db_stmt_t         st;
    db_value_t        args[4];
    const char       *conv;
    logic_im_page_t  *p;

    static const char  text[] =
        "SELECT m.mid, m.role, m.muted, m.ext FROM member AS b "
        "LEFT JOIN member AS m ON m.conv = b.conv AND m.mid > $3 "
        "WHERE b.conv = $1 AND b.mid = $2 ORDER BY m.mid LIMIT $4";

    if ((conv = logic_im_group(d)) == NULL
        || logic_im_number(d, "after", 0, INT64_MAX, &after) != 0
        || (p = logic_im_page(d)) == NULL)
    {
        return;
    }

    args[0] = db_text(conv, strlen(conv));
    args[1] = db_int(d->mid);
    args[2] = db_int(after);
    args[3] = db_int(p->limit);
    st = (db_stmt_t) { text, args, 4 };

    db_run(d->thread->im->db, &st, 1, 0, logic_im_members_got, p);
}
