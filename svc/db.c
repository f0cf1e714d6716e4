/*
 * Databases: what their drivers have in common.
 */

#include "db_int.h"
#include "db_share.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DB_CHUNK       4096             /* the first, */
#define DB_CHUNK_MORE  65536            /* and others */
#define DB_PATIENCE    10000            /* ms */


struct db_chunk_s {
    db_chunk_t  *next;
    size_t       left;
    char        *at;
};

struct db_s {
    const db_driver_t  *driver;
    void               *own;            /* the driver's */

    db_run_t           *first;          /* under way */
    db_run_t          **last;
    size_t              n;
    int                 started;        /* the first has */
    int                 up;
    int                 lost;           /* the connection is */
    int64_t             patience;
    unsigned            connections;
    int                 closed;         /* by the callback that runs */
    int                 calling;

    const char         *sql[DB_STATEMENTS];     /* seen: by id */
    unsigned            nsql;
};


/* ---- memory ---- */

void *
db_alloc(db_arena_t *a, size_t size)
{
    size_t       more;
    void        *p;
    db_chunk_t  *c;

    size = (size + 15) & ~(size_t) 15;
    c = a->first;

    if (c == NULL || c->left < size) {
        more = c == NULL ? DB_CHUNK : DB_CHUNK_MORE;
        more = size > more ? size : more;
        c = malloc(sizeof(db_chunk_t) + 16 + more);

        if (c == NULL) {
            abort();
        }

        c->at = (char *) (((uintptr_t) (c + 1) + 15) & ~(uintptr_t) 15);
        c->left = more;
        c->next = a->first;
        a->first = c;
    }

    p = c->at;
    c->at += size;
    c->left -= size;

    return p;
}


void *
db_copy(db_arena_t *a, const void *data, size_t len)
{
    char  *p;

    p = db_alloc(a, len + 1);

    if (len > 0) {
        memcpy(p, data, len);
    }

    p[len] = '\0';

    return p;
}


static const char *
db_vprint(db_arena_t *a, const char *fmt, va_list args)
{
    char  text[512];

    vsnprintf(text, sizeof(text), fmt, args);

    return db_copy(a, text, strlen(text));
}


const char *
db_print(db_arena_t *a, const char *fmt, ...)
{
    va_list      args;
    const char  *text;

    va_start(args, fmt);
    text = db_vprint(a, fmt, args);
    va_end(args);

    return text;
}


void
db_arena_free(db_arena_t *a)
{
    db_chunk_t  *c, *next;

    for (c = a->first; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
}


/* ---- runs ---- */

/* More statements or arguments than there may be are the program's fault. */

static unsigned
db_statement(db_t *db, const db_stmt_t *stmt)
{
    unsigned  id;

    for (id = 0; id < db->nsql; id++) {
        if (db->sql[id] == stmt->sql) {
            return id;
        }
    }

    if (id == DB_STATEMENTS || stmt->nargs > DB_ARGS) {
        abort();
    }

    db->sql[db->nsql++] = stmt->sql;

    return id;
}


static db_run_t *
db_run_new(db_t *db, const db_stmt_t *stmts, size_t n, int more,
    db_done_pt done, void *data)
{
    size_t       i, k;
    db_run_t    *run;
    db_value_t  *args;

    run = calloc(1, sizeof(db_run_t));
    if (run == NULL) {
        abort();
    }

    run->n = n;
    run->more = more;
    run->done = done;
    run->data = data;
    run->stmts = db_alloc(&run->arena, n * sizeof(db_stmt_t));
    run->ids = db_alloc(&run->arena, n * sizeof(unsigned));
    run->rows = db_alloc(&run->arena, n * sizeof(db_rows_t));
    memset(run->rows, 0, n * sizeof(db_rows_t));

    for (i = 0; i < n; i++) {
        args = db_copy(&run->arena, stmts[i].args,
                       stmts[i].nargs * sizeof(db_value_t));

        for (k = 0; k < stmts[i].nargs; k++) {
            if (args[k].type == DB_TEXT || args[k].type == DB_BYTES) {
                args[k].data = db_copy(&run->arena, args[k].data,
                                       args[k].len);
            }
        }

        run->stmts[i] = stmts[i];
        run->stmts[i].args = args;
        run->ids[i] = db_statement(db, &stmts[i]);
    }

    return run;
}


static void
db_run_free(db_run_t *run)
{
    db_arena_free(&run->arena);
    free(run);
}


void
db_failed(db_run_t *run, db_status_t status, size_t at, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    run->reply.err = db_vprint(&run->arena, fmt, args);
    va_end(args);

    run->reply.status = status;
    run->reply.failed = at;
}


static void
db_next(db_t *db)
{
    if (db->first != NULL && !db->started) {
        db->started = 1;
        db->driver->start(db->own, db->first);
    }
}


static void
db_free(db_t *db)
{
    db_run_t  *run;

    while ((run = db->first) != NULL) {
        db->first = run->next;
        db_run_free(run);
    }

    free(db);
}


static void
db_call(db_run_t *run)
{
    run->reply.n = run->n;
    run->reply.rows = run->rows;

    if (run->done != NULL) {
        run->done(&run->reply, run->data);
    }
}


/* The driver may be closed in the callback: it does nothing more after this. */

void
db_finished(db_t *db, db_run_t *run)
{
    db_run_t  *rest, *next;

    db->first = run->next;
    db->started = 0;
    db->n--;
    db->up = run->reply.status != DB_AWAY;

    rest = NULL;

    /* what waits has waited for the same connection */

    if (db->lost && run->reply.status == DB_AWAY) {
        rest = db->first;
        db->first = NULL;
        db->n = 0;
    }

    if (db->first == NULL) {
        db->last = &db->first;
    }

    db->calling = 1;
    db_call(run);

    for ( /* void */ ; rest != NULL; rest = next) {
        next = rest->next;

        if (!db->closed) {
            db_failed(rest, DB_AWAY, rest->n, "%s", run->reply.err);
            db_call(rest);
        }

        db_run_free(rest);
    }

    db->calling = 0;
    db_run_free(run);

    if (db->closed) {
        db_free(db);
        return;
    }

    db_next(db);
}


void
db_run(db_t *db, const db_stmt_t *stmts, size_t n, int more, db_done_pt done,
    void *data)
{
    db_run_t  *run;

    run = db_run_new(db, stmts, n, more, done, data);

    *db->last = run;
    db->last = &run->next;
    db->n++;

    if (!db->calling) {
        db_next(db);
    }
}


void
db_rollback(db_t *db)
{
    db_run(db, NULL, 0, 0, NULL, NULL);
}


/* ---- handles ---- */

static const db_driver_t *
db_driver(const char *url, const char **where)
{
    size_t  i, n;

    static const db_driver_t *const  drivers[] = { &db_sqlite, &db_pg };

    for (i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        n = strlen(drivers[i]->name);

        if (strncmp(url, drivers[i]->name, n) == 0 && url[n] == ':') {
            *where = url + n + 1;
            return drivers[i];
        }
    }

    return NULL;
}


int
db_check(const char *url, char *err, size_t size)
{
    const char         *where;
    const db_driver_t  *driver;

    driver = db_driver(url, &where);

    if (driver == NULL) {
        snprintf(err, size, "neither \"sqlite:PATH\" nor "
                 "\"postgresql:CONNINFO\"");
        return -1;
    }

    return driver->check(where, err, size);
}


int
db_look(const char *url, char *why, size_t size)
{
    const char  *where;

    return db_driver(url, &where) == &db_sqlite ? db_share(where, why, size)
                                                : 0;
}


int
db_local(const char *url)
{
    const char         *where;
    const db_driver_t  *driver;

    driver = db_driver(url, &where);

    return driver != NULL && driver->local;
}


db_t *
db_open(struct event_base *base, const char *url)
{
    db_t        *db;
    const char  *where;

    db = calloc(1, sizeof(db_t));
    if (db == NULL) {
        abort();
    }

    db->last = &db->first;
    db->driver = db_driver(url, &where);
    db->own = db->driver != NULL ? db->driver->open(db, base, where) : NULL;

    if (db->own == NULL) {
        free(db);
        return NULL;
    }

    return db;
}


void
db_close(db_t *db)
{
    db->driver->close(db->own);

    if (db->calling) {
        db->closed = 1;
        return;
    }

    db_free(db);
}


void
db_set_up(db_t *db, int up)
{
    db->up = up;
    db->lost = !up;
}


void
db_patience(db_t *db, int64_t ms)
{
    db->patience = ms;
}


int64_t
db_patient(const db_t *db)
{
    return db->patience > 0 ? db->patience : DB_PATIENCE;
}


void
db_connected(db_t *db)
{
    db->up = 1;
    db->lost = 0;
    db->connections++;
}


unsigned
db_connections(const db_t *db)
{
    return db->connections;
}


int
db_up(const db_t *db)
{
    return db->up;
}


size_t
db_waiting(const db_t *db)
{
    return db->n;
}
