/*
 * Statements of a run, as they are put together (im_sql.c).
 */

#ifndef JOB_IM_SQL_H
#define JOB_IM_SQL_H

#include "im_send.h"

#define IM_SQL_ROWS  4          /* kinds of rows (im_rows.h) */

/* rows of a kind that wait */
typedef struct {
    db_value_t  *values;
    size_t       n, size;
} im_sql_rows_t;

/* Arguments move until the run, and what they point to has to stay until then. */
typedef struct {
    db_stmt_t      *st;
    size_t          n, size;
    db_value_t     *args;
    size_t          nargs, size_args;
    im_sql_rows_t   rows[IM_SQL_ROWS];
} im_sql_t;

/* ADD(&q, "UPDATE ... $1", db_int(1)): which one it is. */
#define ADD(q, text, ...)                                                    \
    im_sql_add(q, text, (db_value_t []) { __VA_ARGS__ },                     \
               sizeof((db_value_t []) { __VA_ARGS__ }) / sizeof(db_value_t))

size_t im_sql_add(im_sql_t *q, const char *text, const db_value_t *args,
    size_t n);

/* db_run(), and q is gone. */
void im_sql_run(im_sql_t *q, job_im_t *im, int more, db_done_pt done);

db_value_t im_str(const char *text);

/* a column of text: to be freed */
char *im_copy(const db_value_t *v);

/* what a column has, and may not be less than 0 */
uint64_t im_number(const db_value_t *v);

#endif
