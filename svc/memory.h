/*
 * Memory that a peak took goes back to the system: what is free inside the
 * heap is looked at now and then, and given back when it has grown by much.
 */

#ifndef SVC_MEMORY_H
#define SVC_MEMORY_H

#include <event2/event.h>

/* Once a process, on a loop that may stand still for some milliseconds.
 * -1: no memory. */
int svc_memory_start(struct event_base *base);

/* while the loop is there */
void svc_memory_stop(void);

#endif
