/*
 * Who is there, where the application is told of it: sets of sessions, one a
 * worker (lua/lib/who.lua). Here: those of workers that are gone (who.c), and
 * who is in a room (members.c).
 */

#ifndef LOGIC_WHO_H
#define LOGIC_WHO_H

#include "http.h"

/* A node has registered: which of its workers live. */
void logic_who_registered(logic_thread_t *t, const Goim__Register *r);

/* A zone is gone: all its sessions have ended. */
void logic_who_left(logic_thread_t *t, const char *server, const char *zone);

/* Zones that are gone, wherever: once a second. */
void logic_who_poll(logic_thread_t *t);

void logic_online_members(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

#endif
