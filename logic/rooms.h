/*
 * Which zones of nodes have members of a room (rooms.c).
 */

#ifndef LOGIC_ROOMS_H
#define LOGIC_ROOMS_H

#include "rpc.h"

void logic_rooms_call(logic_call_t *call);

#endif
