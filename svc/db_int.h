/*
 * Between db.c and its drivers.
 */

#ifndef SVC_DB_INT_H
#define SVC_DB_INT_H

#include "db.h"


/* Memory that is freed at once. */
typedef struct db_chunk_s  db_chunk_t;

typedef struct {
    db_chunk_t  *first;
} db_arena_t;

void *db_alloc(db_arena_t *a, size_t size);
void *db_copy(db_arena_t *a, const void *data, size_t len);
const char *db_print(db_arena_t *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void db_arena_free(db_arena_t *a);


/* A run, from db_run() to its callback; all that it has is in its arena. */
typedef struct db_run_s  db_run_t;

struct db_run_s {
    db_run_t    *next;
    db_arena_t   arena;
    db_stmt_t   *stmts;         /* none: the end of a transaction, undone */
    unsigned    *ids;           /* each one's text, 0 .. DB_STATEMENTS - 1 */
    size_t       n;
    int          more;
    db_done_pt   done;
    void        *data;

    db_reply_t   reply;
    db_rows_t   *rows;          /* of reply, as they come */
};

/* The run failed at statement `at`. */
void db_failed(db_run_t *run, db_status_t status, size_t at, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));


/* What a driver does. `start` begins with a run, of which there is one at a
 * time; the driver calls db_finished() from the loop. */
typedef struct {
    const char  *name;
    int          local;             /* for one machine */

    int        (*check)(const char *where, char *err, size_t size);
    void      *(*open)(db_t *db, struct event_base *base, const char *where);
    void       (*start)(void *driver, db_run_t *run);

    /* afterwards it does not touch the run that it had */
    void       (*close)(void *driver);
} db_driver_t;

extern const db_driver_t  db_sqlite, db_pg;

void db_finished(db_t *db, db_run_t *run);
void db_set_up(db_t *db, int up);

int64_t db_patient(const db_t *db);

/* A connection was made. */
void db_connected(db_t *db);

#endif
