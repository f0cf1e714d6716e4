/*
 * Commands that change a group (im_group.c).
 */

#ifndef JOB_IM_GROUP_H
#define JOB_IM_GROUP_H

#include "im_write.h"

/* all but SEND and READ */
void im_group(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd);

/* Whether the member may send now; NULL, or why not. */
const char *im_group_muted(const job_im_conv_t *c, const job_im_member_t *m,
    int64_t now);

#endif
