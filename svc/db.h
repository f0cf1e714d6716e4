/*
 * A database. One interface, a driver for each kind: SQLite (db_sqlite.c, in a
 * thread of its own) and PostgreSQL (db_pg.c). Both take the same SQL text, with
 * $1, $2, … for its arguments. A handle belongs to one event loop and is used
 * from its thread alone; callbacks come from that loop.
 */

#ifndef SVC_DB_H
#define SVC_DB_H

#include <event2/event.h>

#include <stddef.h>
#include <stdint.h>


typedef struct db_s  db_t;

typedef enum {
    DB_NULL,
    DB_INT,                 /* BIGINT */
    DB_TEXT,                /* TEXT: UTF-8 without a zero byte */
    DB_BYTES                /* BYTEA */
} db_type_t;

typedef struct {
    db_type_t    type;
    int64_t      n;         /* DB_INT */
    const void  *data;      /* DB_TEXT, DB_BYTES */
    size_t       len;
} db_value_t;

/* One statement. It is prepared once a connection: `sql` is a text of the
 * program, at most DB_STATEMENTS of them, and none is made of what came from
 * elsewhere. */
typedef struct {
    const char        *sql;
    const db_value_t  *args;
    size_t             nargs;
} db_stmt_t;

#define DB_STATEMENTS  128
#define DB_ARGS        64

typedef enum {
    DB_OK,
    DB_AGAIN,               /* nothing was done, others were in the way: the
                               same may succeed now (40001, 40P01, BUSY) */
    DB_REFUSED,             /* nothing was done: a value is against a
                               constraint, or too large */
    DB_TABLES,              /* nothing was done: there are no such tables, or
                               one may not use them. No command's fault */
    DB_AWAY                 /* no database, or it cannot write; all that waits
                               for a connection is told so; when the last
                               run of a transaction was under way, that may
                               have been done */
} db_status_t;

typedef struct {
    const db_value_t  *values;      /* row by row */
    size_t             nrows;
    size_t             ncols;
    int64_t            changed;     /* rows inserted, updated, deleted */
} db_rows_t;

typedef struct {
    db_status_t        status;
    const db_rows_t   *rows;        /* DB_OK: of each statement */
    size_t             n;
    size_t             failed;      /* else: of which one; n: of none */
    const char        *err;         /* and why */
} db_reply_t;

/* What `reply` holds is gone when it returns. It may run or close. */
typedef void (*db_done_pt)(const db_reply_t *reply, void *data);


/* "sqlite:PATH" or "postgresql:CONNINFO". 0, or -1: why not. No file and no
 * network is touched. */
int db_check(const char *url, char *err, size_t size);

/* What is wrong with it here and now: 0, or -1 and what. */
int db_look(const char *url, char *why, size_t size);

/* Whether it is for one machine, and one that writes. */
int db_local(const char *url);

/* It connects by itself, again and again. NULL: out of threads. */
db_t *db_open(struct event_base *base, const char *url);

/* How long a database may be silent while it is waited for: ms. Then it is away,
 * and the connection is made anew. 0: the usual 10 s. (SQLite is waited for.) */
void db_patience(db_t *db, int64_t ms);

/* What is under way or waits is called back no more; a transaction that was
 * not at its end was not done. */
void db_close(db_t *db);

/* Whether the last that was tried succeeded: connecting, or a run. */
int db_up(const db_t *db);

/* How many connections have been made: with another one it may be another
 * database. */
unsigned db_connections(const db_t *db);

/*
 * Statements in order, all or none of them, as one transaction. With `more` it
 * stays open, and goes on with the next run; the one without it commits. A
 * transaction that fails is over. The statements and arguments are copied. Runs
 * are done in order, each when the one before is: a handle with transactions of
 * several runs has one user, who waits for each.
 *
 * PostgreSQL: a run is a pipeline, one round trip.
 */
void db_run(db_t *db, const db_stmt_t *stmts, size_t n, int more,
    db_done_pt done, void *data);

/* The open transaction is over, and nothing of it was done. */
void db_rollback(db_t *db);

/* How many runs wait or are under way. */
size_t db_waiting(const db_t *db);


/* for arguments */

static inline db_value_t
db_int(int64_t n)
{
    return (db_value_t) { DB_INT, n, NULL, 0 };
}


static inline db_value_t
db_text(const char *data, size_t len)
{
    return (db_value_t) { DB_TEXT, 0, data, len };
}


static inline db_value_t
db_bytes(const void *data, size_t len)
{
    return (db_value_t) { DB_BYTES, 0, data, len };
}

#endif
