/*
 * Canaries (canary.c).
 */

#ifndef LOGIC_CANARY_H
#define LOGIC_CANARY_H

#include "http.h"
#include "rpc.h"

/* Of the first thread, which sends them: one a process. */
logic_canary_t *logic_canary_new(logic_thread_t *t);

/* No more are sent; busy: while some are on their way to the bus. */
void logic_canary_stop(logic_thread_t *t);
int logic_canary_busy(logic_thread_t *t);
void logic_canary_free(logic_thread_t *t);

/* Some have come back, to any thread. */
void logic_canary_call(logic_call_t *call);

/* NULL: pushes get through; or the hop where they do not, and what is known. */
const char *logic_canary_missing(logic_thread_t *t, char *why, size_t size);

#endif
