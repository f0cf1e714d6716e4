/*
 * Commands that change a group (im_group.c).
 */

#ifndef JOB_IM_GROUP_H
#define JOB_IM_GROUP_H

#include "im_write.h"

/* What commands about groups need: asked for in the second run, and found. */
void im_group_look(im_sql_t *q, job_im_batch_t *b);
void im_group_found(job_im_batch_t *b, const db_rows_t *rows);

/* as a column of conversations has it */
job_im_rule_t im_group_rule(const db_value_t *v);

/* all but SEND, READ and SETTINGS */
void im_group(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd);

/* Whether the member may send now; NULL, or why not. */
const char *im_group_muted(const job_im_conv_t *c, const job_im_member_t *m,
    int64_t now);

#endif
