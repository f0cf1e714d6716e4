/*
 * Whether the database is the one that it was (im_check.c).
 */

#ifndef JOB_IM_CHECK_H
#define JOB_IM_CHECK_H

#include "im_place.h"

/*
 * Compare what the database says with what this process knows of it, and what
 * Redis does; one that went back or is another one begins a new epoch, and what it
 * lost is taken from the bus again. Then im->compared(): nothing else is under
 * way meanwhile. When something does not answer, im->again(), and this once more.
 */
void job_im_check(job_im_t *im);

#endif
