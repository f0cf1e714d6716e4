/*
 * Who may call a route of the HTTP API: a key of [api] keys, or, where requests
 * without one are taken, whoever is no page of another site.
 */

#ifndef LOGIC_ACCESS_H
#define LOGIC_ACCESS_H

#include "logic.h"
#include "keys.h"

/* How a route uses rooms. */
typedef enum {
    LOGIC_ROOMS_NONE,       /* a key that is limited to rooms can't call it */
    LOGIC_ROOMS_NAMED       /* its handler asks for each */
} logic_rooms_t;

/*
 * Whether the request may go on; scope 0: everybody's. *key is the caller's, of
 * which the route asks which rooms it is for (logic_http_room()); NULL: all.
 * -1: answered.
 */
int logic_access(logic_thread_t *t, http_request_t *req, unsigned scope,
    logic_rooms_t rooms, const logic_apikey_t **key);

/* The text behind "Bearer " in Authorization; NULL: there is none; "": there is
 * something else, or more than one. */
const char *logic_access_bearer(http_request_t *req);

/* Whether the key is for all rooms, and what is no room's; NULL: it is. -1:
 * answered. */
int logic_access_all(logic_thread_t *t, http_request_t *req,
    const logic_apikey_t *key);

/* Whether the key is for the room; NULL: all are. -1: answered. */
int logic_access_room(logic_thread_t *t, http_request_t *req,
    const logic_apikey_t *key, const char *room, size_t len);

/*
 * CORS for pages of [http] origins, on the public listener: header fields for
 * the answer that follows.
 */
void logic_access_cors(logic_thread_t *t, http_request_t *req);

/* The lists of names and origins of the configuration. -1 with a message. */
int logic_access_check(const logic_conf_t *lcf, char *err, size_t size);

#endif
