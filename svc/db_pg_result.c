/*
 * PostgreSQL: what an answer says.
 */

#include "db_pg.h"

#include <stdlib.h>
#include <string.h>


/*
 * Only what is wrong with a value is its command's fault: data, constraints, limits,
 * what a trigger says. The rest is tried again: connections, resources, an operator,
 * the disk, a standby, a transaction that may only read.
 */

db_status_t
db_pg_status(const char *state)
{
    size_t  i, k;

    static const struct {
        db_status_t        status;
        const char *const  class[5];
    } classes[] = {
        { DB_AGAIN,   { "40", "55", NULL } },
        { DB_REFUSED, { "22", "23", "44", "54", "P0" } },

        /* no such table, column, schema or database, no right to it */

        { DB_TABLES,  { "42", "3D", "3F", "28", NULL } }
    };

    if (state == NULL) {
        return DB_AWAY;
    }

    for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        for (k = 0; k < 5 && classes[i].class[k] != NULL; k++) {
            if (strncmp(state, classes[i].class[k], 2) == 0) {
                return classes[i].status;
            }
        }
    }

    return DB_AWAY;
}


/* 0, or -1: a column of a type that nobody expects. */

static int
db_pg_value(db_run_t *run, const PGresult *res, int row, int col,
    db_value_t *v)
{
    int64_t        n;
    const char    *p;
    int            i, len;

    memset(v, 0, sizeof(db_value_t));

    if (PQgetisnull(res, row, col)) {
        return 0;
    }

    p = PQgetvalue(res, row, col);
    len = PQgetlength(res, row, col);

    switch (PQftype(res, col)) {

    case PG_INT8:
    case PG_INT4:
    case PG_INT2:
    case PG_BOOL:
        n = (signed char) p[0];

        for (i = 1; i < len; i++) {
            n = (int64_t) ((uint64_t) n << 8 | (uint8_t) p[i]);
        }

        v->type = DB_INT;
        v->n = n;
        return 0;

    case PG_TEXT:
    case PG_VARCHAR:
        v->type = DB_TEXT;
        break;

    case PG_BYTEA:
        v->type = DB_BYTES;
        break;

    default:
        return -1;
    }

    v->len = (size_t) len;
    v->data = db_copy(&run->arena, p, v->len);

    return 0;
}


void
db_pg_rows(db_run_t *run, size_t at, PGresult *res)
{
    int          row, col, ncols;
    db_rows_t   *rows;
    db_value_t  *values;

    rows = &run->rows[at];
    ncols = PQnfields(res);

    rows->ncols = (size_t) ncols;
    rows->nrows = (size_t) PQntuples(res);
    rows->changed = strncmp(PQcmdStatus(res), "SELECT", 6) == 0
                    ? 0 : atoll(PQcmdTuples(res));

    values = db_alloc(&run->arena,
                      rows->nrows * rows->ncols * sizeof(db_value_t));
    rows->values = values;

    for (row = 0; row < (int) rows->nrows; row++) {
        for (col = 0; col < ncols; col++) {
            if (db_pg_value(run, res, row, col, values++) != 0) {
                db_failed(run, DB_TABLES, at, "column %d has a type that "
                          "is not known", col + 1);
                return;
            }
        }
    }
}
