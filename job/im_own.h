/*
 * What a member has of a conversation for itself: cursor and settings
 * (im_own.c).
 */

#ifndef JOB_IM_OWN_H
#define JOB_IM_OWN_H

#include "im_write.h"

/* READ or SETTINGS */
int im_own(const job_im_cmd_t *cmd);

/* What they need: asked for in the second run, and found. */
void im_own_look(im_sql_t *q, job_im_batch_t *b);
void im_own_found(job_im_batch_t *b, const db_rows_t *rows);

/* the batch's command of that number */
void im_own_do(im_sql_t *q, job_im_batch_t *b, size_t at, const db_rows_t *rows);

/* Once it is written: what is in the entries. */
void im_own_written(job_im_batch_t *b, const db_rows_t *rows);

#endif
