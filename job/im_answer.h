/*
 * What logic is told (im_answer.c).
 */

#ifndef JOB_IM_ANSWER_H
#define JOB_IM_ANSWER_H

#include "im_place.h"

/* What came of each of n commands; those without a thread that asked are left
 * out. */
void job_im_answer(job_im_t *im, job_im_cmd_t **cmds, size_t n);

#endif
