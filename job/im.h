/*
 * Messages between people: commands from a bus of their own (im.c).
 */

#ifndef JOB_IM_H
#define JOB_IM_H

#include "job.h"

/* [im] without db: 0, and job->im stays NULL */
int job_im_start(job_t *job, char *err, size_t size);

/* No more commands are taken; `done` when what is under way is over. */
void job_im_drain(job_im_t *im, void (*done)(job_t *job));
void job_im_free(job_im_t *im);

#endif
