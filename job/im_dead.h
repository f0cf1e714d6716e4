/*
 * Commands that the database refuses (im_dead.c).
 */

#ifndef JOB_IM_DEAD_H
#define JOB_IM_DEAD_H

#include "im_send.h"

int im_dead_start(job_im_t *im, char *err, size_t size);

/* Keep the batch's one command, and why; then im->buried(), or im->again(). */
void im_dead_keep(job_im_t *im);

/* Nothing comes of what is under way. */
void im_dead_free(job_im_t *im);

#endif
