/*
 * Databases: one family for both. SQLite in a file of its own, or what $GOIM_DB
 * names.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "svc/db.h"
#include "svc/log.h"

static struct event_base  *base;
static char                dir[64] = "/tmp/goim-db.XXXXXX";
static char                path[96];
static char                where[512];
static int                 pg;

/* a copy of what a run was answered */

static struct {
    int          done;
    db_status_t  status;
    size_t       failed;
    char         err[512];
    size_t       nrows, ncols;          /* of its last statement */
    int64_t      changed;
    db_value_t   values[16];
    char         text[16][64];
} got;


static void
on_done(const db_reply_t *reply, void *data)
{
    size_t            i;
    const db_rows_t  *rows;

    (void) data;

    got.done = 1;
    got.status = reply->status;
    got.failed = reply->failed;
    snprintf(got.err, sizeof(got.err), "%s", reply->err ? reply->err : "");

    if (reply->status != DB_OK || reply->n == 0) {
        return;
    }

    rows = &reply->rows[reply->n - 1];
    got.nrows = rows->nrows;
    got.ncols = rows->ncols;
    got.changed = rows->changed;

    for (i = 0; i < 16 && i < rows->nrows * rows->ncols; i++) {
        got.values[i] = rows->values[i];

        if (rows->values[i].len > 0 && rows->values[i].len < 64) {
            memcpy(got.text[i], rows->values[i].data, rows->values[i].len);
        }
    }
}


static void
until_done(void)
{
    int  i;

    for (i = 0; i < 1000 && !got.done; i++) {
        struct timeval  tv = { 0, 50000 };

        event_base_loopexit(base, &tv);
        event_base_loop(base, EVLOOP_ONCE);
    }

    assert_true(got.done);
}


static db_status_t
run_all(db_t *db, const db_stmt_t *stmts, size_t n, int more)
{
    memset(&got, 0, sizeof(got));
    db_run(db, stmts, n, more, on_done, NULL);
    until_done();

    return got.status;
}


static db_status_t
run(db_t *db, const char *sql, size_t nargs, const db_value_t *args)
{
    db_stmt_t  st = { sql, args, nargs };

    return run_all(db, &st, 1, 0);
}


static void
ok(db_t *db, const char *sql, size_t nargs, const db_value_t *args)
{
    if (run(db, sql, nargs, args) != DB_OK) {
        fail_msg("%s: %s", sql, got.err);
    }
}


static const char  drop[] = "DROP TABLE IF EXISTS item";
static const char  make[] = "CREATE TABLE item (id BIGINT PRIMARY KEY, "
                            "name TEXT, body BYTEA)";
static const char  put[] = "INSERT INTO item (id, name, body) "
                           "VALUES ($1, $2, $3)";
static const char  all[] = "SELECT id, name, body FROM item ORDER BY id";
static const char  number[] = "SELECT count(*) FROM item";


static db_t *
opened(void)
{
    db_t  *db;

    db = db_open(base, where);
    assert_non_null(db);
    ok(db, drop, 0, NULL);
    ok(db, make, 0, NULL);

    return db;
}


static int64_t
count(db_t *db)
{
    ok(db, number, 0, NULL);
    assert_int_equal(got.nrows, 1);

    return got.values[0].n;
}


/* ---- values ---- */

static void
values(void **state)
{
    db_t        *db;
    db_value_t   none = { DB_NULL, 0, NULL, 0 };
    db_value_t   args[3];
    size_t       i;

    static const int64_t  ints[] = {
        0, 1, -1, 127, 128, -128, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN
    };

    (void) state;
    db = opened();
    assert_true(db_up(db));

    for (i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        args[0] = db_int(ints[i]);
        args[1] = none;
        args[2] = none;
        ok(db, put, 3, args);
        assert_int_equal(got.changed, 1);
        ok(db, "SELECT id, name FROM item WHERE id = $1", 1, args);
        assert_int_equal(got.nrows, 1);
        assert_int_equal(got.ncols, 2);
        assert_int_equal(got.values[0].type, DB_INT);
        assert_int_equal(got.values[0].n, ints[i]);
        assert_int_equal(got.values[1].type, DB_NULL);
    }

    ok(db, "DELETE FROM item", 0, NULL);
    assert_int_equal(got.changed, sizeof(ints) / sizeof(ints[0]));

    args[0] = db_int(1);
    args[1] = db_text("it's \xc3\xa4; $2 --", 14);
    args[2] = db_bytes("a\0b\xff", 4);
    ok(db, put, 3, args);

    args[0] = db_int(2);
    args[1] = db_text("", 0);
    args[2] = db_bytes("", 0);
    ok(db, put, 3, args);

    ok(db, all, 0, NULL);
    assert_int_equal(got.nrows, 2);
    assert_int_equal(got.values[1].type, DB_TEXT);
    assert_string_equal(got.text[1], "it's \xc3\xa4; $2 --");
    assert_int_equal(got.values[2].type, DB_BYTES);
    assert_int_equal(got.values[2].len, 4);
    assert_memory_equal(got.text[2], "a\0b\xff", 4);
    assert_int_equal(got.values[4].type, DB_TEXT);
    assert_int_equal(got.values[4].len, 0);
    assert_int_equal(got.values[5].type, DB_BYTES);
    assert_int_equal(got.values[5].len, 0);

    db_close(db);
}


static void
large(void **state)
{
    db_t        *db;
    size_t       i;
    char        *big;
    db_value_t   args[3];

    (void) state;
    db = opened();

    big = malloc(4 << 20);
    memset(big, 'x', 4 << 20);
    args[0] = db_int(1);
    args[1] = db_text("big", 3);
    args[2] = db_bytes(big, 4 << 20);
    ok(db, put, 3, args);
    free(big);

    ok(db, "SELECT body FROM item", 0, NULL);
    assert_int_equal(got.values[0].len, 4 << 20);

    for (i = 2; i <= 300; i++) {
        args[0] = db_int((int64_t) i);
        args[2] = db_bytes("x", 1);
        ok(db, put, 3, args);
    }

    ok(db, "SELECT id, name FROM item ORDER BY id", 0, NULL);
    assert_int_equal(got.nrows, 300);
    assert_int_equal(got.values[14].n, 8);

    db_close(db);
}


/* what the same text must do on both */

static void
dialect(void **state)
{
    db_t        *db;
    db_value_t   args[3];

    (void) state;
    db = opened();

    args[0] = db_int(1);
    args[1] = db_text("one", 3);
    args[2] = db_bytes("1", 1);
    ok(db, put, 3, args);

    ok(db, "INSERT INTO item AS i (id, name) VALUES ($1, $2) ON CONFLICT (id) "
       "DO UPDATE SET name = i.name || $2 RETURNING id, name", 2, args);
    assert_int_equal(got.nrows, 1);
    assert_int_equal(got.changed, 1);
    assert_string_equal(got.text[1], "oneone");

    ok(db, "INSERT INTO item (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING "
       "RETURNING id", 2, args);
    assert_int_equal(got.nrows, 0);
    assert_int_equal(got.changed, 0);

    args[0] = db_int(2);
    ok(db, put, 3, args);
    ok(db, "UPDATE item SET name = o.name FROM item AS o WHERE o.id = 1 AND "
       "item.id = 2 RETURNING item.name", 0, NULL);
    assert_string_equal(got.text[0], "oneone");

    db_close(db);
}


/* ---- transactions ---- */

static void
all_or_nothing(void **state)
{
    db_t        *db;
    db_value_t   a[3], b[3];
    db_stmt_t    st[3];

    (void) state;
    db = opened();

    a[0] = db_int(1);
    a[1] = db_text("a", 1);
    a[2] = db_bytes("a", 1);
    memcpy(b, a, sizeof(a));
    b[0] = db_int(2);

    st[0] = (db_stmt_t) { put, b, 3 };
    st[1] = (db_stmt_t) { put, a, 3 };
    st[2] = (db_stmt_t) { put, a, 3 };
    assert_int_equal(run_all(db, st, 3, 0), DB_REFUSED);
    assert_int_equal(got.failed, 2);
    assert_true(got.err[0] != '\0');
    assert_true(db_up(db));
    assert_int_equal(count(db), 0);

    assert_int_equal(run_all(db, st, 2, 0), DB_OK);
    assert_int_equal(count(db), 2);

    /* a statement that is none, and those around it */

    st[0] = (db_stmt_t) { "DELETE FROM item", NULL, 0 };
    st[1] = (db_stmt_t) { "SELEC 1", NULL, 0 };
    st[2] = (db_stmt_t) { "SELECT max(id) FROM item", NULL, 0 };
    assert_int_equal(run_all(db, st, 3, 0), DB_TABLES);
    assert_int_equal(count(db), 2);
    st[1] = (db_stmt_t) { "SELECT 1 FROM nowhere", NULL, 0 };
    assert_int_equal(run_all(db, st, 3, 0), DB_TABLES);
    st[1] = st[2];
    assert_int_equal(run_all(db, st, 2, 0), DB_OK);
    assert_int_equal(count(db), 0);

    db_close(db);
}


static void
several_runs(void **state)
{
    db_t        *db, *other;
    db_value_t   a[3], b[3];
    db_stmt_t    st, st2;

    (void) state;
    db = opened();
    other = db_open(base, where);

    a[0] = db_int(1);
    a[1] = db_text("a", 1);
    a[2] = db_bytes("a", 1);
    memcpy(b, a, sizeof(a));
    b[0] = db_int(2);
    st = (db_stmt_t) { put, a, 3 };
    st2 = (db_stmt_t) { put, b, 3 };

    /* seen by others when it is at its end */

    assert_int_equal(run_all(db, &st, 1, 1), DB_OK);
    assert_int_equal(count(other), 0);
    assert_int_equal(run_all(db, &st2, 1, 0), DB_OK);
    assert_int_equal(count(other), 2);

    /* undone */

    ok(db, "DELETE FROM item", 0, NULL);
    assert_int_equal(run_all(db, &st, 1, 1), DB_OK);
    db_rollback(db);
    assert_int_equal(count(db), 0);
    db_rollback(db);

    /* failed: over, and the next is one of its own */

    assert_int_equal(run_all(db, &st, 1, 1), DB_OK);
    assert_int_equal(run_all(db, &st, 1, 1), DB_REFUSED);
    assert_int_equal(run_all(db, &st2, 1, 0), DB_OK);
    assert_int_equal(count(other), 1);

    /* closed in the middle: nothing of it */

    assert_int_equal(run_all(db, &st, 1, 1), DB_OK);
    db_close(db);
    assert_int_equal(count(other), 1);

    db_close(other);
}


static void
in_the_way(void **state)
{
    db_t        *db, *other;
    db_stmt_t    st;

    static const char  one[] = "UPDATE item SET name = 'x' WHERE id = 1";
    static const char  two[] = "UPDATE item SET name = 'x' WHERE id = 2";

    (void) state;
    db = opened();
    other = db_open(base, where);

    ok(db, "INSERT INTO item (id) VALUES (1), (2)", 0, NULL);

    st = (db_stmt_t) { one, NULL, 0 };
    assert_int_equal(run_all(db, &st, 1, 1), DB_OK);

    st = (db_stmt_t) { two, NULL, 0 };

    if (!pg) {
        assert_int_equal(run_all(other, &st, 1, 0), DB_AGAIN);

    } else {
        assert_int_equal(run_all(other, &st, 1, 1), DB_OK);
        st = (db_stmt_t) { one, NULL, 0 };
        db_run(other, &st, 1, 0, NULL, NULL);
        st = (db_stmt_t) { two, NULL, 0 };

        /* one of the two is the victim */

        if (run_all(db, &st, 1, 1) == DB_OK) {
            st = (db_stmt_t) { "SELECT 1", NULL, 0 };
            assert_int_equal(run_all(other, &st, 1, 0), DB_OK);
        } else {
            assert_int_equal(got.status, DB_AGAIN);
        }
    }

    db_rollback(db);
    st = (db_stmt_t) { two, NULL, 0 };
    assert_int_equal(run_all(other, &st, 1, 0), DB_OK);

    db_close(db);
    db_close(other);
}


/* ---- order, and the end ---- */

static int  last;
static db_t  *closing;


static void
in_order(const db_reply_t *reply, void *data)
{
    assert_int_equal(reply->status, DB_OK);
    assert_int_equal(reply->rows[0].values[0].n, ++last);
    assert_ptr_equal(data, &last);

    got.done = last == 100;
}


static void
order(void **state)
{
    int          i;
    db_t        *db;
    db_value_t   arg;
    db_stmt_t    st;

    (void) state;
    db = opened();
    got.done = 0;
    last = 0;

    for (i = 1; i <= 100; i++) {
        arg = db_int(i);
        st = (db_stmt_t) { "SELECT CAST($1 AS BIGINT)", &arg, 1 };
        db_run(db, &st, 1, 0, in_order, &last);
    }

    assert_int_equal(db_waiting(db), 100);
    until_done();
    assert_int_equal(last, 100);
    assert_int_equal(db_waiting(db), 0);

    db_close(db);
}


static void
close_now(const db_reply_t *reply, void *data)
{
    (void) reply;
    (void) data;

    db_close(closing);
    got.done++;
}


static void
closed_in_callback(void **state)
{
    db_stmt_t  st = { "SELECT 1", NULL, 0 };

    (void) state;
    closing = opened();
    got.done = 0;

    db_run(closing, &st, 1, 0, close_now, NULL);
    db_run(closing, &st, 1, 0, close_now, NULL);
    until_done();
    assert_int_equal(got.done, 1);

    /* and with one under way */

    closing = opened();
    got.done = 0;
    db_run(closing, &st, 1, 0, close_now, NULL);
    db_close(closing);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(got.done, 0);
}


static void
away(void **state)
{
    db_t        *db;
    db_stmt_t    st = { "SELECT 1", NULL, 0 };
    const char  *nowhere;

    (void) state;

    nowhere = pg ? "postgresql:host=127.0.0.1 port=1 user=nobody"
                 : "sqlite:/nonexistent/goim.db";
    db = db_open(base, nowhere);
    assert_non_null(db);
    assert_int_equal(run_all(db, &st, 1, 0), DB_AWAY);
    assert_true(got.err[0] != '\0');
    assert_false(db_up(db));
    assert_int_equal(run_all(db, &st, 1, 1), DB_AWAY);
    db_close(db);
}


static void
urls(void **state)
{
    char  err[256];

    (void) state;

    assert_int_equal(db_check("sqlite:/a/b.db", err, sizeof(err)), 0);
    assert_int_equal(db_check("sqlite:b.db", err, sizeof(err)), -1);
    assert_int_equal(db_check("sqlite:", err, sizeof(err)), -1);
    assert_int_equal(db_check("mysql:x", err, sizeof(err)), -1);
    assert_non_null(strstr(err, "postgresql:CONNINFO"));
    assert_int_equal(db_check("", err, sizeof(err)), -1);
    assert_int_equal(db_check("postgresql:host=a dbname=b", err, sizeof(err)),
                     0);
    assert_int_equal(db_check("postgresql:hots=a", err, sizeof(err)), -1);
    assert_non_null(strstr(err, "hots"));
    assert_null(strchr(err, '\n'));
    assert_int_equal(db_check("postgresql:postgresql://u@h/db", err,
                              sizeof(err)), 0);
}


int
main(void)
{
    int          rc;
    const char  *name;

    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(urls),
        cmocka_unit_test(values),
        cmocka_unit_test(large),
        cmocka_unit_test(dialect),
        cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(several_runs),
        cmocka_unit_test(in_the_way),
        cmocka_unit_test(order),
        cmocka_unit_test(closed_in_callback),
        cmocka_unit_test(away)
    };

    log_open(NULL, LOG_EMERG);
    base = event_base_new();
    name = getenv("GOIM_DB");
    pg = name != NULL && strncmp(name, "postgresql:", 11) == 0;

    if (name == NULL) {
        if (mkdtemp(dir) == NULL) {
            return 1;
        }

        snprintf(path, sizeof(path), "%s/db", dir);
        snprintf(where, sizeof(where), "sqlite:%s", path);

    } else {
        snprintf(where, sizeof(where), "%s", name);
    }

    rc = cmocka_run_group_tests(tests, NULL, NULL);

    if (name == NULL) {
        unlink(path);
        rmdir(dir);
    }

    event_base_free(base);

    return rc;
}
