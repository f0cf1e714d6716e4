/*
 * What a member has of a conversation for itself: cursor and settings
 * (im_own.c).
 */

#ifndef JOB_IM_OWN_H
#define JOB_IM_OWN_H

#include "im_write.h"

/* READ or SETTINGS */
int im_own(const job_im_cmd_t *cmd);
void im_own_do(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd);

/* Once it is written: what is in the entries. */
void im_own_found(job_im_batch_t *b, const db_rows_t *rows);

#endif
