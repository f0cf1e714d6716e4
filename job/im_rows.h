/*
 * Rows that a run writes into one table, many by a statement (im_rows.c).
 */

#ifndef JOB_IM_ROWS_H
#define JOB_IM_ROWS_H

#include "im_sql.h"

/* which table, and how: columns are those that the texts in im_rows.c name */
typedef enum {
    IM_ROWS_LOCK,               /* account: mid; answered mid, seq */
    IM_ROWS_ACCOUNT,            /* mid, seq */
    IM_ROWS_INBOX,              /* mid, seq, conv, cseq */
    IM_ROWS_MESSAGE,            /* conv, seq, n, mid, cid, kind, at, body */
    IM_ROWS_KINDS = IM_SQL_ROWS
} im_rows_kind_t;

/* They wait until im_rows(). */
#define ROW(q, kind, ...)                                                    \
    im_rows_add(q, kind, (db_value_t []) { __VA_ARGS__ })

void im_rows_add(im_sql_t *q, im_rows_kind_t kind, const db_value_t *row);

/* Those that wait are statements of the run now, before what is added after it;
 * none may wait when it is run. */
void im_rows(im_sql_t *q);

#endif
