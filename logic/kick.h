/*
 * The word to a node that a session was replaced (kick.c).
 */

#ifndef LOGIC_KICK_H
#define LOGIC_KICK_H

#include "logic.h"

#define LOGIC_KICK_CLOSED  4500     /* a device that is signed out: it stays away */

/* <server>/<zone>/<session> and a NUL */
#define LOGIC_HOLDER_BUF  (GOIM_SERVER_MAX + GOIM_ZONE_MAX + 24)

/* Tell the holder's node that this session of the key is to end: with that code
 * (4000 to 4999) and reason; code 0: as it has been replaced. */
void logic_kick(logic_thread_t *t, const char *holder, size_t len,
    const void *key, size_t key_len, unsigned code, const char *reason);

/* Forget the kicks that are still to be tried again. */
void logic_kick_free(logic_thread_t *t);

#endif
