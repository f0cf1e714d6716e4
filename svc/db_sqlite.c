/*
 * SQLite: a connection in a thread of its own, as it waits for the disk. The
 * thread has one run at a time; the loop sleeps by an eventfd.
 */

#include "db_int.h"
#include "db_share.h"

#include "log.h"
#include "thread.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQLITE_WAIT  2000               /* ms: for another who writes */


typedef struct {
    db_t             *db;
    char             *path;
    svc_wake_t        wake;
    pthread_t         tid;

    pthread_mutex_t   lock;             /* of these */
    pthread_cond_t    cond;
    db_run_t         *todo;
    db_run_t         *done;
    int               opened;           /* since the loop looked */
    int               quit;

    /* the thread's */
    sqlite3          *sqlite;           /* NULL: not open */
    int               open;             /* a transaction is */
    int               failed;           /* it could not be opened: said */
    int               made;             /* it was there: it is not made again */
    sqlite3_stmt     *stmts[DB_STATEMENTS];     /* prepared: by id, */
    uint8_t           args[DB_STATEMENTS][DB_ARGS];     /* where SQLite has
                                                           each of them */
} db_sqlite_t;


static int
db_sqlite_check(const char *path, char *err, size_t size)
{
    if (path[0] != '/') {
        snprintf(err, size, "no absolute path of SQLite: \"%s\"", path);
        return -1;
    }

    return 0;
}


/* ---- the connection, in the thread ---- */

static void
db_sqlite_shut(db_sqlite_t *s)
{
    size_t  i;

    for (i = 0; i < DB_STATEMENTS; i++) {
        sqlite3_finalize(s->stmts[i]);
        s->stmts[i] = NULL;
    }

    sqlite3_close(s->sqlite);
    s->sqlite = NULL;
    s->open = 0;
}


/* Another file has its name by now, as when a copy was restored, or none: that is
   the one to be written. Files beside it belong to the new one. */

static void
db_sqlite_moved(db_sqlite_t *s)
{
    int  moved, keep;

    keep = 1;

    if (sqlite3_file_control(s->sqlite, "main", SQLITE_FCNTL_HAS_MOVED, &moved)
        == SQLITE_OK && moved)
    {
        log_write(LOG_ERROR, "sqlite \"%s\": the file was replaced or removed",
                  s->path);
        (void) sqlite3_file_control(s->sqlite, "main",
                                    SQLITE_FCNTL_PERSIST_WAL, &keep);
        db_sqlite_shut(s);
    }
}


static void
db_sqlite_complain(db_sqlite_t *s, const char *what)
{
    char  why[512];

    if (s->failed) {
        return;
    }

    s->failed = 1;
    log_write(LOG_ERROR, "sqlite \"%s\": %s", s->path,
              db_share(s->path, why, sizeof(why)) != 0 ? why : what);
}


/* It is open, and yet. */

static void
db_sqlite_warn(db_sqlite_t *s)
{
    char  why[512];

    if (db_share(s->path, why, sizeof(why)) != 0) {
        log_write(LOG_ERROR, "sqlite \"%s\": %s", s->path, why);
    }
}


static int
db_sqlite_wal(void *data, int n, char **value, char **name)
{
    (void) name;

    *(int *) data = n == 1 && value[0] != NULL && strcmp(value[0], "wal") == 0;

    return 0;
}


static int
db_sqlite_connect(db_sqlite_t *s)
{
    int  rc, wal;

    static const char  how[] =
        "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
        "PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 8000;"
        "PRAGMA temp_store = MEMORY";

    if (s->sqlite != NULL && !s->open) {
        db_sqlite_moved(s);
    }

    if (s->sqlite != NULL) {
        return 0;
    }

    rc = sqlite3_open_v2(s->path, &s->sqlite,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX
                         | (s->made ? 0 : SQLITE_OPEN_CREATE), NULL);

    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(s->sqlite, 1);
        sqlite3_busy_timeout(s->sqlite, SQLITE_WAIT);
        rc = sqlite3_exec(s->sqlite, how, NULL, NULL, NULL);
    }

    wal = 0;

    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(s->sqlite, "PRAGMA journal_mode = WAL",
                          db_sqlite_wal, &wal, NULL);
    }

    if (rc == SQLITE_OK && wal) {
        log_write(LOG_NOTICE, "sqlite \"%s\": open", s->path);
        s->failed = 0;

        if (!s->made) {
            db_sqlite_warn(s);
        }

        s->made = 1;

        pthread_mutex_lock(&s->lock);
        s->opened = 1;
        pthread_mutex_unlock(&s->lock);

        return 0;
    }

    db_sqlite_complain(s, rc == SQLITE_OK ? "it cannot be in WAL: no memory "
                       "that processes share?" : s->sqlite != NULL
                       ? sqlite3_errmsg(s->sqlite) : "no memory");
    return -1;
}


static db_status_t
db_sqlite_status(int rc)
{
    switch (rc & 0xff) {

    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return DB_AGAIN;

    /* what is wrong in a statement of the program's */

    case SQLITE_ERROR:
    case SQLITE_SCHEMA:
    case SQLITE_RANGE:
    case SQLITE_MISUSE:
        return DB_TABLES;

    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return DB_REFUSED;

    /* the file and the disk, memory: FULL, READONLY, IOERR, CORRUPT, … */

    default:
        return DB_AWAY;
    }
}


/* A statement that has failed tells why only until the next call. */

static int
db_sqlite_fail(db_sqlite_t *s, db_run_t *run, size_t at, int rc)
{
    db_failed(run, db_sqlite_status(rc), at, "%s",
              s->sqlite ? sqlite3_errmsg(s->sqlite) : "cannot be opened");

    return -1;
}


static int
db_sqlite_exec(db_sqlite_t *s, db_run_t *run, const char *sql)
{
    int  rc;

    rc = sqlite3_exec(s->sqlite, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : db_sqlite_fail(s, run, run->n, rc);
}


/* It numbers arguments as they come in the text. */

static void
db_sqlite_args(sqlite3_stmt *stmt, uint8_t *places, size_t n)
{
    char    name[8];
    size_t  i;

    for (i = 0; stmt != NULL && i < n; i++) {
        snprintf(name, sizeof(name), "$%u", (unsigned) (i + 1) % 1000);
        places[i] = (uint8_t) sqlite3_bind_parameter_index(stmt, name);
    }
}


/* NULL: it failed, which sqlite3_errmsg() tells. */

static sqlite3_stmt *
db_sqlite_prepare(db_sqlite_t *s, db_run_t *run, size_t at)
{
    sqlite3_stmt **stmt;

    stmt = &s->stmts[run->ids[at]];

    if (*stmt == NULL) {
        (void) sqlite3_prepare_v3(s->sqlite, run->stmts[at].sql, -1,
                                  SQLITE_PREPARE_PERSISTENT, stmt, NULL);
        db_sqlite_args(*stmt, s->args[run->ids[at]], run->stmts[at].nargs);
    }

    return *stmt;
}


/* ---- statements ---- */

static int
db_sqlite_bind(sqlite3_stmt *stmt, const uint8_t *places, const db_stmt_t *st)
{
    int                at, rc;
    size_t             i;
    const db_value_t  *v;

    for (i = 0; i < st->nargs; i++) {
        at = places[i];
        v = &st->args[i];

        switch (v->type) {

        case DB_INT:
            rc = sqlite3_bind_int64(stmt, at, v->n);
            break;

        case DB_TEXT:
            rc = sqlite3_bind_text64(stmt, at, v->data, v->len, SQLITE_STATIC,
                                     SQLITE_UTF8);
            break;

        case DB_BYTES:
            rc = sqlite3_bind_blob64(stmt, at, v->data, v->len,
                                     SQLITE_STATIC);
            break;

        default:
            rc = sqlite3_bind_null(stmt, at);
        }

        if (rc != SQLITE_OK) {
            return rc;
        }
    }

    return SQLITE_OK;
}


static void
db_sqlite_value(db_run_t *run, sqlite3_stmt *stmt, int col, db_value_t *v)
{
    const void  *data;

    memset(v, 0, sizeof(db_value_t));

    switch (sqlite3_column_type(stmt, col)) {

    case SQLITE_INTEGER:
        v->type = DB_INT;
        v->n = sqlite3_column_int64(stmt, col);
        return;

    case SQLITE_NULL:
        return;

    case SQLITE_BLOB:
        v->type = DB_BYTES;
        data = sqlite3_column_blob(stmt, col);
        break;

    default:
        v->type = DB_TEXT;
        data = sqlite3_column_text(stmt, col);
    }

    v->len = (size_t) sqlite3_column_bytes(stmt, col);
    v->data = db_copy(&run->arena, data, data ? v->len : 0);
}


/* One more row: the array of them doubles. */

static void
db_sqlite_row(db_run_t *run, sqlite3_stmt *stmt, db_rows_t *rows)
{
    size_t       n;
    unsigned     col;
    db_value_t  *values;

    n = rows->nrows * rows->ncols;

    if ((rows->nrows & (rows->nrows - 1)) == 0) {
        values = db_alloc(&run->arena, (2 * n + rows->ncols)
                                       * sizeof(db_value_t));
        if (n > 0) {
            memcpy(values, rows->values, n * sizeof(db_value_t));
        }

        rows->values = values;
    }

    values = (db_value_t *) rows->values + n;

    for (col = 0; col < rows->ncols; col++) {
        db_sqlite_value(run, stmt, (int) col, &values[col]);
    }

    rows->nrows++;
}


static int
db_sqlite_step(db_sqlite_t *s, db_run_t *run, size_t at)
{
    int            rc;
    db_rows_t     *rows;
    sqlite3_stmt  *stmt;

    stmt = db_sqlite_prepare(s, run, at);
    if (stmt == NULL) {
        return db_sqlite_fail(s, run, at, sqlite3_errcode(s->sqlite));
    }

    rows = &run->rows[at];
    rows->ncols = (size_t) sqlite3_column_count(stmt);

    rc = db_sqlite_bind(stmt, s->args[run->ids[at]], &run->stmts[at]);

    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);

        if (rc == SQLITE_ROW) {
            db_sqlite_row(run, stmt, rows);
        }
    }

    if (rc == SQLITE_DONE) {
        rows->changed = sqlite3_stmt_readonly(stmt)
                        ? 0 : sqlite3_changes(s->sqlite);
    } else {
        db_sqlite_fail(s, run, at, rc);
    }

    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);

    return rc == SQLITE_DONE ? 0 : -1;
}


/* ---- runs ---- */

/* Who is going to write takes the lock at once: two who have read can't both
   get it later. A statement that can't be prepared yet is about a table that
   one before it makes. */

static const char *
db_sqlite_begin(db_sqlite_t *s, db_run_t *run)
{
    size_t         i;
    sqlite3_stmt  *stmt;

    for (i = 0; i < run->n; i++) {
        stmt = db_sqlite_prepare(s, run, i);

        if (stmt == NULL || !sqlite3_stmt_readonly(stmt)) {
            return "BEGIN IMMEDIATE";
        }
    }

    return run->more ? "BEGIN IMMEDIATE" : "BEGIN";
}


static int
db_sqlite_all(db_sqlite_t *s, db_run_t *run)
{
    size_t  i;

    if (!s->open) {
        if (db_sqlite_exec(s, run, db_sqlite_begin(s, run)) != 0) {
            return -1;
        }

        s->open = 1;
    }

    for (i = 0; i < run->n; i++) {
        if (db_sqlite_step(s, run, i) != 0) {
            return -1;
        }
    }

    if (!run->more) {
        if (db_sqlite_exec(s, run, "COMMIT") != 0) {
            return -1;
        }

        s->open = 0;
    }

    return 0;
}


/* After an error of its file the connection is made anew: the file may be
   another one by then. */

static void
db_sqlite_work(db_sqlite_t *s, db_run_t *run)
{
    if (db_sqlite_connect(s) != 0) {
        (void) db_sqlite_fail(s, run, run->n, SQLITE_CANTOPEN);
        db_sqlite_shut(s);
        return;
    }

    if (run->n > 0 && db_sqlite_all(s, run) == 0) {
        return;
    }

    if (s->open) {
        (void) sqlite3_exec(s->sqlite, "ROLLBACK", NULL, NULL, NULL);
        s->open = 0;
    }

    if (run->reply.status == DB_AWAY) {
        db_sqlite_shut(s);
    }
}


static void *
db_sqlite_thread(void *data)
{
    int           rc;
    db_run_t     *run;
    db_sqlite_t  *s;

    s = data;

    rc = db_sqlite_connect(s);

    if (rc != 0) {
        db_sqlite_shut(s);
    }

    pthread_mutex_lock(&s->lock);
    svc_wake(&s->wake);

    for ( ;; ) {

        while (s->todo == NULL && !s->quit) {
            pthread_cond_wait(&s->cond, &s->lock);
        }

        if (s->quit) {
            break;
        }

        run = s->todo;
        pthread_mutex_unlock(&s->lock);

        db_sqlite_work(s, run);

        pthread_mutex_lock(&s->lock);
        s->todo = NULL;
        s->done = run;
        svc_wake(&s->wake);
    }

    pthread_mutex_unlock(&s->lock);

    db_sqlite_shut(s);

    return NULL;
}


/* ---- the loop's side ---- */

static void
db_sqlite_woken(void *data)
{
    int           opened;
    db_run_t     *run;
    db_sqlite_t  *s;

    s = data;

    pthread_mutex_lock(&s->lock);
    run = s->done;
    s->done = NULL;
    opened = s->opened;
    s->opened = 0;
    pthread_mutex_unlock(&s->lock);

    if (opened) {
        db_connected(s->db);
    }

    if (run != NULL) {
        db_finished(s->db, run);
    }
}


static void
db_sqlite_start(void *driver, db_run_t *run)
{
    db_sqlite_t  *s;

    s = driver;

    pthread_mutex_lock(&s->lock);
    s->todo = run;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}


static void *
db_sqlite_open(db_t *db, struct event_base *base, const char *path)
{
    db_sqlite_t  *s;

    s = calloc(1, sizeof(db_sqlite_t));
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        abort();
    }

    s->db = db;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->cond, NULL);

    if (svc_wake_init(&s->wake, base, db_sqlite_woken, s) == 0) {

        if (pthread_create(&s->tid, NULL, db_sqlite_thread, s) == 0) {
            return s;
        }

        svc_wake_done(&s->wake);
    }

    free(s->path);
    free(s);

    return NULL;
}


/* What it is at is waited for: a statement and a write. */

static void
db_sqlite_close(void *driver)
{
    db_sqlite_t  *s;

    s = driver;

    pthread_mutex_lock(&s->lock);
    s->quit = 1;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);

    pthread_join(s->tid, NULL);

    svc_wake_done(&s->wake);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->cond);
    free(s->path);
    free(s);
}


const db_driver_t  db_sqlite = {
    "sqlite",
    1,
    db_sqlite_check,
    db_sqlite_open,
    db_sqlite_start,
    db_sqlite_close
};
