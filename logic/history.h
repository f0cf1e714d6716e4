/*
 * Which rooms have a history, and in how many partitions rooms have their
 * homes: as job says in Redis (goim:history), asked for once a second.
 */

#ifndef LOGIC_HISTORY_H
#define LOGIC_HISTORY_H

#include "logic.h"
#include "svc/history.h"

int logic_history_init(logic_thread_t *t);
void logic_history_free(logic_thread_t *t);

/* Redis is there */
void logic_history_up(logic_thread_t *t);

/* Ask now; `known` is told whether Redis says it: it does once a job has been
 * there. -1: it is away, nobody is told. */
int logic_history_ask(logic_thread_t *t, void (*known)(int ok, void *data),
    void *data);

/*
 * As it was when Redis was asked last; a script that is told `of` says when it
 * is another one.
 */

/* among how many partitions a room has its home; 0: it has no history */
uint32_t logic_history_home(logic_thread_t *t, const char *room);

/* what epochs belong to */
const char *logic_history_of(logic_thread_t *t);

/* what changes with that; "" when nothing is known, "0" when nothing ever had
   one */
const char *logic_history_stamp(logic_thread_t *t);

#endif
