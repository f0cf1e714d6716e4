/*
 * What is pushed to users and stored (im_push.c).
 */

#ifndef JOB_IM_PUSH_H
#define JOB_IM_PUSH_H

#include "im_write.h"

/* PUSH is possible: its parameters are what they may be. */
int im_push_valid(const Goim__ImCommand *c);

/* With the accounts locked: what is stored of it, and of each of its users, how
   many have been pushed to it, and as which this. */
void im_push_look(im_sql_t *q, job_im_batch_t *b);

/* The command, at that place of the batch, is carried out for those who do not
   have it yet. */
void im_push_do(im_sql_t *q, job_im_batch_t *b, size_t at,
    const db_rows_t *rows);

/* DEVICE, which says how much it has had of that. */
void im_push_acked(im_sql_t *q, const job_im_batch_t *b,
    const job_im_cmd_t *cmd);

#endif
