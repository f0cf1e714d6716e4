/*
 * Inside of the PostgreSQL driver: what an answer says (db_pg_result.c).
 */

#ifndef SVC_DB_PG_H
#define SVC_DB_PG_H

#include "db_int.h"

#include <libpq-fe.h>

/* pg_type.dat: they don't change */
#define PG_BOOL     16
#define PG_BYTEA    17
#define PG_INT8     20
#define PG_INT2     21
#define PG_INT4     23
#define PG_TEXT     25
#define PG_VARCHAR  1043

/* of an SQLSTATE; NULL: the connection was lost */
db_status_t db_pg_status(const char *state);

/* The rows of statement `at`; a column of a type that is none of these fails
 * the run. */
void db_pg_rows(db_run_t *run, size_t at, PGresult *res);

#endif
