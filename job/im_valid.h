/*
 * Commands, as they come (im_valid.c).
 */

#ifndef JOB_IM_VALID_H
#define JOB_IM_VALID_H

#include "job.h"

/* Whether it can be carried out, or refused with a reason. */
int im_valid(const Goim__ImCommand *c);

#endif
