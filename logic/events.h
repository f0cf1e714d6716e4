/*
 * What the application is told of sessions (events.c): one logic of the
 * cluster sends, in the order of Redis's stream, until the application has it.
 */

#ifndef LOGIC_EVENTS_H
#define LOGIC_EVENTS_H

#include "logic.h"

/* The thread's part, where events are told: t->events stays NULL else. */
int logic_events_start(logic_thread_t *t);

/* No more are begun; whether one is under way. */
void logic_events_stop(logic_thread_t *t);
int logic_events_busy(const logic_thread_t *t);

void logic_events_free(logic_thread_t *t);


/* ---- events_body.c ---- */

/* The body that tells of these entries of the stream; NULL: no memory.
 * Malloc()ed. */
char *logic_events_body(const redisReply *entries, int64_t dropped,
    size_t *len);

#endif
