/*
 * PostgreSQL: what an answer says.
 */

#include "db_pg.h"

#include <stdlib.h>
#include <string.h>


db_status_t
db_pg_status(const char *state)
{
    if (state == NULL) {
        return DB_AWAY;
    }

    if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0
        || strcmp(state, "55P03") == 0)
    {
        return DB_AGAIN;
    }

    /* connection, out of resources, an operator, the system, the disk; a
       standby, a transaction that may only read */

    if (strncmp(state, "08", 2) == 0 || strncmp(state, "53", 2) == 0
        || strncmp(state, "57", 2) == 0 || strncmp(state, "58", 2) == 0
        || strncmp(state, "XX", 2) == 0 || strcmp(state, "25006") == 0)
    {
        return DB_AWAY;
    }

    return DB_REFUSED;
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
                db_failed(run, DB_REFUSED, at, "column %d has a type that "
                          "is not known", col + 1);
                return;
            }
        }
    }
}
