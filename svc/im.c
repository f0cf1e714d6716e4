/*
 * Messages between people: names, items, and the tables.
 */

#include "im.h"

#include "bus.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


int
im_topic_check(const char *key, const char *topic, char *err, size_t size)
{
    if (strlen(topic) >= 1 && strlen(topic) <= 249) {
        return 0;
    }

    snprintf(err, size, "[im] %s = \"%.64s\" is not 1 to 249 bytes", key,
             topic);

    return -1;
}


int
im_check(const char *db, const char *topic, char *err, size_t size)
{
    int  n;

    if (im_topic_check("topic", topic, err, size) != 0) {
        return -1;
    }

    n = snprintf(err, size, "[im] db is ");

    return db[0] == '\0' ? 0 : db_check(db, err + n, size - (size_t) n);
}


int
im_word(const char *text, size_t max)
{
    size_t  n;

    for (n = 0; text[n] != '\0'; n++) {
        if (text[n] <= ' ' || text[n] > '~') {
            return 0;
        }
    }

    return n >= 1 && n <= max;
}


int
im_kind_of_message(const char *kind)
{
    size_t  i;

    static const char *const  kept[] = {
        "create", "add", "remove", "join", "ask", "answer", "member", "update",
        "dismiss", IM_KEY_READ, IM_KEY_CONV
    };

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (strcmp(kind, kept[i]) == 0) {
            return 0;
        }
    }

    return im_word(kind, GOIM_IM_KIND);
}


void
im_pair(char *conv, int64_t one, int64_t other)
{
    snprintf(conv, GOIM_IM_CONV + 1, "p%" PRId64 ".%" PRId64,
             one < other ? one : other, one < other ? other : one);
}


/* A mid as it is written: no sign, no zero before it. */

static const char *
im_mid(const char *p, int64_t *mid)
{
    *mid = 0;

    if (*p < '1' || *p > '9') {
        return NULL;
    }

    for ( ; *p >= '0' && *p <= '9'; p++) {
        if (*mid > (INT64_MAX - (*p - '0')) / 10) {
            return NULL;
        }

        *mid = *mid * 10 + (*p - '0');
    }

    return p;
}


im_type_t
im_conv(const char *conv, int64_t *low, int64_t *high)
{
    const char  *p;

    *high = 0;

    if (conv[0] != 'p' && conv[0] != 'g') {
        return IM_NONE;
    }

    p = im_mid(conv + 1, low);

    if (p == NULL || *p++ != '.') {
        return IM_NONE;
    }

    if (conv[0] == 'g') {
        return im_word(p, GOIM_IM_ID) ? IM_GROUP : IM_NONE;
    }

    p = im_mid(p, high);

    return p != NULL && *p == '\0' && *low <= *high ? IM_PAIR : IM_NONE;
}


/* The line, a newline, the payload. */

static char *
im_lines(json_t *head, const im_item_t *item, size_t *len)
{
    char    *line, *text;
    size_t   n;

    if (head == NULL) {
        return NULL;
    }

    line = json_dumps(head, JSON_COMPACT);
    json_decref(head);

    if (line == NULL) {
        abort();
    }

    n = strlen(line);
    text = malloc(n + 1 + item->len);

    if (text == NULL) {
        abort();
    }

    memcpy(text, line, n);
    text[n] = '\n';

    if (item->len > 0) {
        memcpy(text + n + 1, item->body, item->len);
    }

    free(line);
    *len = n + 1 + item->len;

    return text;
}


char *
im_item(const im_item_t *item, size_t *len)
{
    return im_lines(json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:I}",
                              "conv", item->conv,
                              "seq", (json_int_t) item->seq,
                              "n", (json_int_t) item->n,
                              "mid", (json_int_t) item->mid,
                              "id", item->id, "kind", item->kind,
                              "at", (json_int_t) item->at),
                    item, len);
}


char *
im_pushed(const im_item_t *item, int32_t operation, size_t *len)
{
    return im_lines(json_pack("{s:s, s:s, s:i, s:I}", "kind", IM_PUSHED,
                              "id", item->id, "operation", (int) operation,
                              "at", (json_int_t) item->at),
                    item, len);
}


char *
im_state(const char *conv, const char *key, const db_value_t *member)
{
    char    *line, *text;
    size_t   n;
    json_t  *state, *ext;

    state = json_pack("{s:s, s:s}", "conv", conv, "kind", key);

    if (state == NULL) {
        return NULL;
    }

    if (strcmp(key, IM_KEY_READ) == 0) {
        json_object_set_new(state, "read", json_integer(member[0].n));
        json_object_set_new(state, "read_n", json_integer(member[1].n));

    } else {
        ext = json_loadb(member[3].data, member[3].len, JSON_DECODE_ANY, NULL);

        json_object_set_new(state, "notify", json_boolean(member[2].n != 0));
        json_object_set_new(state, "ext", ext != NULL ? ext : json_null());
    }

    line = json_dumps(state, JSON_COMPACT);
    json_decref(state);

    if (line == NULL) {
        abort();
    }

    n = strlen(line);
    text = malloc(n + 2);

    if (text == NULL) {
        abort();
    }

    memcpy(text, line, n);
    strcpy(text + n, "\n");
    free(line);

    return text;
}


/* ---- tables ---- */

/* Steps of the schema, each from the version before it to its own. What was
   released is never changed: what comes later is a step of its own. */

static const char *const  im_tables_1[] = {
    "CREATE TABLE place (partition BIGINT PRIMARY KEY, epoch TEXT NOT NULL, "
        "position BYTEA NOT NULL)",
    "CREATE TABLE account (mid BIGINT PRIMARY KEY, seq BIGINT NOT NULL, "
        "first BIGINT NOT NULL)",
    "CREATE TABLE inbox (mid BIGINT NOT NULL, seq BIGINT NOT NULL, "
        "conv TEXT NOT NULL, cseq BIGINT NOT NULL, PRIMARY KEY (mid, seq))",
    "CREATE TABLE conversation (id TEXT PRIMARY KEY, seq BIGINT NOT NULL, "
        "n BIGINT NOT NULL, at BIGINT NOT NULL, "
        "rule TEXT NOT NULL, mute_all BIGINT NOT NULL)",
    "CREATE TABLE message (conv TEXT NOT NULL, seq BIGINT NOT NULL, "
        "n BIGINT NOT NULL, mid BIGINT NOT NULL, cid TEXT NOT NULL, "
        "kind TEXT NOT NULL, at BIGINT NOT NULL, body BYTEA NOT NULL, "
        "PRIMARY KEY (conv, seq), UNIQUE (conv, mid, cid))",
    "CREATE TABLE member (conv TEXT NOT NULL, mid BIGINT NOT NULL, "
        "read BIGINT NOT NULL, read_n BIGINT NOT NULL, "
        "role BIGINT NOT NULL, muted BIGINT NOT NULL, "
        "PRIMARY KEY (conv, mid))",
    "CREATE INDEX member_mid ON member (mid)",
    "INSERT INTO meta (name, value) VALUES ('version', '1'), ('epoch', $1)"
};

static const char *const  im_tables_2[] = {
    "UPDATE meta SET value = '2' WHERE name = 'version'",
    "ALTER TABLE conversation ADD COLUMN history TEXT NOT NULL DEFAULT 'all'",
    "ALTER TABLE conversation ADD COLUMN ext TEXT NOT NULL DEFAULT 'null'",
    "ALTER TABLE member ADD COLUMN since BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE member ADD COLUMN notify BIGINT NOT NULL DEFAULT 1",
    "ALTER TABLE member ADD COLUMN own TEXT NOT NULL DEFAULT 'null'",
    "ALTER TABLE member ADD COLUMN ext TEXT NOT NULL DEFAULT 'null'",
    "CREATE TABLE asking (conv TEXT NOT NULL, mid BIGINT NOT NULL, "
        "at BIGINT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (conv, mid))",
    "CREATE TABLE device (mid BIGINT NOT NULL, key TEXT NOT NULL, "
        "platform TEXT NOT NULL, push_token TEXT NOT NULL, "
        "acked BIGINT NOT NULL, seen BIGINT NOT NULL, "
        "PRIMARY KEY (mid, key))"
};

static const char *const  im_tables_3[] = {
    "UPDATE meta SET value = '3' WHERE name = 'version'",
    "ALTER TABLE inbox ADD COLUMN key TEXT",
    ("CREATE UNIQUE INDEX inbox_key ON inbox (mid, conv, key) "
        "WHERE key IS NOT NULL")
};

/* Which database this is, however it is copied; how many epochs its inboxes have had,
   and the database that was left for it; and of each partition, how many batches. */

static const char *const  im_tables_4[] = {
    "UPDATE meta SET value = '4' WHERE name = 'version'",
    ("INSERT INTO meta (name, value) "
        "SELECT 'instance', value FROM meta WHERE name = 'epoch'"),
    "INSERT INTO meta (name, value) VALUES ('generation', '1'), ('left', '')",
    "ALTER TABLE place ADD COLUMN turn BIGINT NOT NULL DEFAULT 0"
};

static const char *const  im_tables_5[] = {
    "UPDATE meta SET value = '5' WHERE name = 'version'",
    "ALTER TABLE account ADD COLUMN pushes BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE message ADD COLUMN operation BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE inbox ADD COLUMN push BIGINT",
    ("CREATE UNIQUE INDEX inbox_push ON inbox (mid, push) "
        "WHERE push IS NOT NULL")
};

#define IM_STEP(tables)  { tables, sizeof(tables) / sizeof(tables[0]) }

static const struct {
    const char *const  *sql;
    size_t              n;
} im_steps[] = {
    IM_STEP(im_tables_1),
    IM_STEP(im_tables_2),
    IM_STEP(im_tables_3),
    IM_STEP(im_tables_4),
    IM_STEP(im_tables_5)
};

#define IM_VERSION     (sizeof(im_steps) / sizeof(im_steps[0]))
#define IM_STEPS_TIME  3600000      /* ms: tables may be large */
#define IM_STATEMENTS  64           /* of all steps, at most */
#define IM_TRIES       3            /* while others make them, too */

typedef struct {
    db_t    *db;
    void   (*done)(db_status_t status, const char *err, void *data);
    void    *data;
    int      tries;
} im_schema_t;


static void im_schema_look(im_schema_t *s);


static void
im_schema_end(im_schema_t *s, db_status_t status, const char *err)
{
    db_patience(s->db, 0);
    s->done(status, err, s->data);
    free(s);
}


/* Another may have made them at the same time: then it is looked again. */

static void
im_schema_made(const db_reply_t *reply, void *data)
{
    im_schema_t  *s = data;

    if ((reply->status == DB_REFUSED || reply->status == DB_TABLES)
        && s->tries++ < IM_TRIES)
    {
        im_schema_look(s);
        return;
    }

    im_schema_end(s, reply->status, reply->err);
}


/* From the version that is there, 0 for none, on: one transaction. */

static void
im_schema_step(im_schema_t *s, size_t version)
{
    size_t      i, n;
    char        epoch[33];
    uint8_t     random[16];
    db_stmt_t   st[IM_STATEMENTS];
    db_value_t  arg;

    evutil_secure_rng_get_bytes(random, sizeof(random));
    bus_hex(epoch, random, sizeof(random));
    arg = db_text(epoch, 32);

    for (n = 0; version < IM_VERSION; version++) {
        for (i = 0; i < im_steps[version].n; i++) {
            st[n].sql = im_steps[version].sql[i];
            st[n].args = &arg;
            st[n].nargs = strchr(st[n].sql, '$') != NULL;
            n++;
        }
    }

    db_patience(s->db, IM_STEPS_TIME);
    db_run(s->db, st, n, 0, im_schema_made, s);
}


static void
im_schema_seen(const db_reply_t *reply, void *data)
{
    size_t              version;
    im_schema_t        *s = data;
    const db_value_t   *v;

    /* IF NOT EXISTS is refused, too, where two are at it */

    if (reply->status != DB_OK) {
        im_schema_made(reply, s);
        return;
    }

    if (reply->rows[1].nrows == 0) {
        im_schema_step(s, 0);
        return;
    }

    v = &reply->rows[1].values[0];
    version = v->type == DB_TEXT && v->len == 1
              ? (size_t) (*(const char *) v->data - '0') : 0;

    if (version < 1 || version > IM_VERSION) {
        im_schema_end(s, DB_REFUSED, "its tables are of another version "
                      "of this program");

    } else if (version < IM_VERSION) {
        im_schema_step(s, version);

    } else {
        im_schema_end(s, DB_OK, NULL);
    }
}


static void
im_schema_look(im_schema_t *s)
{
    static const db_stmt_t  look[] = {
        { "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, "
          "value TEXT NOT NULL)", NULL, 0 },
        { "SELECT value FROM meta WHERE name = 'version'", NULL, 0 }
    };

    db_run(s->db, look, 2, 0, im_schema_seen, s);
}


void
im_schema(db_t *db, void (*done)(db_status_t status, const char *err,
    void *data), void *data)
{
    im_schema_t  *s;

    s = calloc(1, sizeof(im_schema_t));
    if (s == NULL) {
        abort();
    }

    s->db = db;
    s->done = done;
    s->data = data;

    im_schema_look(s);
}
