/*
 * Word to who started the process that it can do its work: systemd's
 * Type=notify, a datagram to $NOTIFY_SOCKET. Without that nothing is said.
 */

#ifndef SVC_NOTIFY_H
#define SVC_NOTIFY_H

#include <event2/event.h>

typedef struct notify_s  notify_t;

/* Asks `ready` ten times a second until it answers 1, then says READY=1. NULL
 * when nobody waits for that. */
notify_t *notify_new(struct event_base *base, int (*ready)(void *data),
    void *data);
void notify_free(notify_t *n);

/* Say it: "STOPPING=1". */
void notify_say(const char *state);

#endif
