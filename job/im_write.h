/*
 * Items of a batch, and what they need (im_write.c).
 */

#ifndef JOB_IM_WRITE_H
#define JOB_IM_WRITE_H

#include "im_sql.h"

/* mids, and what begins with one */
int im_mid_cmp(const void *a, const void *b);

/* NULL: not a member */
job_im_member_t *im_member(job_im_conv_t *c, int64_t mid);

/* the newest number of the mid's inbox, which the batch has locked */
uint64_t *im_account(job_im_batch_t *b, int64_t mid);

/* message is a literal */
void im_refuse(job_im_cmd_t *cmd, int code, const char *message);

/* The command's item, for all who are members now. */
void im_write(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd);

/* After all items of the batch: where cursors of those who sent are by that. */
void im_moved(im_sql_t *q, job_im_conv_t *c);

/* After im_write(): in the inbox of mid, too, which the batch has locked. */
void im_write_to(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    int64_t mid);

/* It goes to the sessions of mid, as number seq of the inbox. */
void im_entry(job_im_batch_t *b, job_im_cmd_t *cmd, int64_t mid,
    uint64_t seq);

/* What is before it in the inbox: the number, or NULL. */
void im_follows(job_im_entry_t *entry, const db_value_t *before);

#endif
