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

#define IM_VERSION  1


int
im_check(const char *db, const char *topic, char *err, size_t size)
{
    int  n;

    if (strlen(topic) < 1 || strlen(topic) > 249) {
        snprintf(err, size, "[im] topic = \"%.64s\" is not 1 to 249 bytes",
                 topic);
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


char *
im_item(const im_item_t *item, size_t *len)
{
    char    *line, *text;
    size_t   n;
    json_t  *head;

    head = json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:I}",
                     "conv", item->conv, "seq", (json_int_t) item->seq,
                     "n", (json_int_t) item->n, "mid", (json_int_t) item->mid,
                     "id", item->id, "kind", item->kind,
                     "at", (json_int_t) item->at);
    line = head != NULL ? json_dumps(head, JSON_COMPACT) : NULL;
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


/* ---- tables ---- */

static const char *const  im_tables[] = {
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

#define IM_TABLES  (sizeof(im_tables) / sizeof(im_tables[0]))

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
    s->done(status, err, s->data);
    free(s);
}


/* Another may have made them at the same time: then it is looked again. */

static void
im_schema_made(const db_reply_t *reply, void *data)
{
    im_schema_t  *s = data;

    if (reply->status == DB_REFUSED && s->tries++ == 0) {
        im_schema_look(s);
        return;
    }

    im_schema_end(s, reply->status, reply->err);
}


static void
im_schema_seen(const db_reply_t *reply, void *data)
{
    size_t              i;
    char                epoch[33];
    uint8_t             random[16];
    db_stmt_t           st[IM_TABLES];
    db_value_t          arg;
    im_schema_t        *s = data;
    const db_value_t   *version;

    if (reply->status != DB_OK) {
        im_schema_end(s, reply->status, reply->err);
        return;
    }

    if (reply->rows[1].nrows > 0) {
        version = &reply->rows[1].values[0];

        if (version->type == DB_TEXT && version->len == 1
            && *(const char *) version->data == '0' + IM_VERSION)
        {
            im_schema_end(s, DB_OK, NULL);
        } else {
            im_schema_end(s, DB_REFUSED, "its tables are of another version "
                          "of this program");
        }

        return;
    }

    evutil_secure_rng_get_bytes(random, sizeof(random));
    bus_hex(epoch, random, sizeof(random));
    arg = db_text(epoch, 32);

    for (i = 0; i < IM_TABLES; i++) {
        st[i] = (db_stmt_t) { im_tables[i], &arg, i == IM_TABLES - 1 };
    }

    db_run(s->db, st, IM_TABLES, 0, im_schema_made, s);
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
