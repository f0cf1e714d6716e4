/*
 * What logic is told (im_answer.c).
 */

#ifndef JOB_IM_ANSWER_H
#define JOB_IM_ANSWER_H

#include "im_place.h"

void job_im_answer(job_im_t *im, const job_im_cmd_t *cmd, int code,
    const char *message);

#endif
