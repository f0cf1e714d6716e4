/*
 * Statements of a run, as they are put together.
 */

#include "im_sql.h"

#include <stdlib.h>
#include <string.h>


size_t
im_sql_add(im_sql_t *q, const char *text, const db_value_t *args, size_t n)
{
    if (q->n == q->size) {
        q->size = q->size ? 2 * q->size : 64;
        q->st = job_realloc(q->st, q->size * sizeof(db_stmt_t));
    }

    while (q->nargs + n > q->size_args) {
        q->size_args = q->size_args ? 2 * q->size_args : 256;
        q->args = job_realloc(q->args, q->size_args * sizeof(db_value_t));
    }

    memcpy(q->args + q->nargs, args, n * sizeof(db_value_t));
    q->st[q->n] = (db_stmt_t) { text, NULL, n };
    q->nargs += n;

    return q->n++;
}


void
im_sql_run(im_sql_t *q, job_im_t *im, int more, db_done_pt done)
{
    size_t  i, at;

    for (i = 0, at = 0; i < q->n; i++) {
        q->st[i].args = q->args + at;
        at += q->st[i].nargs;
    }

    db_run(im->db, q->st, q->n, more, done, im);

    for (i = 0; i < IM_SQL_ROWS; i++) {
        free(q->rows[i].values);
    }

    free(q->st);
    free(q->args);
}


db_value_t
im_str(const char *text)
{
    return db_text(text, strlen(text));
}


char *
im_copy(const db_value_t *v)
{
    char  *text;

    text = job_realloc(NULL, v->len + 1);

    if (v->len > 0) {
        memcpy(text, v->data, v->len);
    }

    text[v->len] = '\0';

    return text;
}


uint64_t
im_number(const db_value_t *v)
{
    return v->type == DB_INT && v->n > 0 ? (uint64_t) v->n : 0;
}
