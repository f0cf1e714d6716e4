/*
 * Sessions: who a client is (auth.c, auth_jwt.c), where it is (session.c), what
 * it sends (receive.c).
 */

#ifndef LOGIC_SESSION_H
#define LOGIC_SESSION_H

#include "rpc.h"
#include "token.h"

void logic_auth_call(logic_call_t *call);
void logic_auth_jwt(logic_call_t *call);

/* Nobody can tell at the moment, and: no. Both answer the call. */
void logic_auth_fail(logic_call_t *call, const char *reason);
void logic_auth_deny(logic_call_t *call, const char *reason);

void logic_session_connect(logic_call_t *call, logic_who_t *who);

/* Answers the call: who it is and what it may, beside what is in there. */
void logic_session_granted(logic_call_t *call, const logic_who_t *who,
    Goim__Connected *connected);
void logic_disconnect_call(logic_call_t *call);
void logic_heartbeat_call(logic_call_t *call);
void logic_missing_call(logic_call_t *call);

/* of many sessions */
void logic_renew_call(logic_call_t *call);
void logic_ended_call(logic_call_t *call);
void logic_announced_call(logic_call_t *call);

/* im_seen.c */
void logic_seen_call(logic_call_t *call);

void logic_receive_call(logic_call_t *call);

/* The session's data that a node hands back, into text of GOIM_DATA_MAX + 1
   bytes. */
const char *logic_call_data(const Goim__Receive *r, char *text);

#endif
