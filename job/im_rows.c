/*
 * Rows that a run writes into one table, many by a statement: what a statement
 * costs a database is much of what a row does. There are a few lengths of each,
 * as each is prepared.
 */

#include "im_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IM_ROWS_TEXT  1024
#define IM_ROWS_LENS  5


static const struct {
    const char  *head;
    size_t       ncols;
    const char  *more;              /* of each row, after its columns */
    const char  *tail;
} im_rows_sql[IM_ROWS_KINDS] = {
    { "INSERT INTO account (mid, seq, first) VALUES ", 1, ", 0, 1",
      " ON CONFLICT (mid) DO UPDATE SET mid = excluded.mid "
      "RETURNING mid, seq" },
    { "INSERT INTO account (mid, seq, first) VALUES ", 2, ", 1",
      " ON CONFLICT (mid) DO UPDATE SET seq = excluded.seq" },
    { "INSERT INTO inbox (mid, seq, conv, cseq) VALUES ", 4, "", "" },
    { "INSERT INTO message (conv, seq, n, mid, cid, kind, at, body) VALUES ",
      8, "", "" }
};

static const size_t  im_rows_lens[IM_ROWS_LENS] = { 16, 8, 4, 2, 1 };


/* A text is the program's, made when it is needed first: job has one thread. */

static const char *
im_rows_text(im_rows_kind_t kind, size_t len)
{
    char    *p, *last;
    size_t   i, k, arg;

    static char  texts[IM_ROWS_KINDS][IM_ROWS_LENS][IM_ROWS_TEXT];

    p = texts[kind][len];
    last = p + IM_ROWS_TEXT;

    if (p[0] != '\0') {
        return p;
    }

    p += snprintf(p, (size_t) (last - p), "%s", im_rows_sql[kind].head);

    for (i = 0, arg = 1; i < im_rows_lens[len]; i++) {
        p += snprintf(p, (size_t) (last - p), "%s", i > 0 ? ", (" : "(");

        for (k = 0; k < im_rows_sql[kind].ncols; k++, arg++) {
            p += snprintf(p, (size_t) (last - p), "%s$%zu", k > 0 ? ", " : "",
                          arg);
        }

        p += snprintf(p, (size_t) (last - p), "%s)", im_rows_sql[kind].more);
    }

    (void) snprintf(p, (size_t) (last - p), "%s", im_rows_sql[kind].tail);

    return texts[kind][len];
}


void
im_rows_add(im_sql_t *q, im_rows_kind_t kind, const db_value_t *row)
{
    size_t          ncols;
    im_sql_rows_t  *r;

    r = &q->rows[kind];
    ncols = im_rows_sql[kind].ncols;

    if (r->n == r->size) {
        r->size = r->size ? 2 * r->size : 64;
        r->values = job_realloc(r->values,
                                r->size * ncols * sizeof(db_value_t));
    }

    memcpy(r->values + r->n++ * ncols, row, ncols * sizeof(db_value_t));
}


static int
im_rows_cmp(const void *a, const void *b)
{
    const db_value_t  *x = a, *y = b;

    if (x[0].n != y[0].n) {
        return x[0].n < y[0].n ? -1 : 1;
    }

    return x[1].n < y[1].n ? -1 : x[1].n > y[1].n;
}


/* Of an inbox go together: one page of its index has them. */

void
im_rows(im_sql_t *q)
{
    size_t          i, len, ncols, kind;
    im_sql_rows_t  *r;

    for (kind = 0; kind < IM_ROWS_KINDS; kind++) {
        r = &q->rows[kind];
        ncols = im_rows_sql[kind].ncols;

        if (kind == IM_ROWS_INBOX && r->n > 0) {
            qsort(r->values, r->n, ncols * sizeof(db_value_t), im_rows_cmp);
        }

        for (i = 0, len = 0; i < r->n; i += im_rows_lens[len]) {

            while (im_rows_lens[len] > r->n - i
                   || im_rows_lens[len] * ncols > DB_ARGS)
            {
                len++;
            }

            (void) im_sql_add(q, im_rows_text((im_rows_kind_t) kind, len),
                              r->values + i * ncols,
                              im_rows_lens[len] * ncols);
        }

        r->n = 0;
    }
}
