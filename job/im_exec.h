/*
 * A batch of commands between people is a transaction (im_exec.c).
 */

#ifndef JOB_IM_EXEC_H
#define JOB_IM_EXEC_H

#include "im_send.h"

/* Carry out im->batch: im->done() when it is committed, or refused. */
void job_im_exec(job_im_t *im);

/* The batch's commands from that one on wait again, before all others. */
void job_im_back(job_im_t *im, size_t from);

#endif
