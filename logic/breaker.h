/*
 * Whether the application is asked for logins, which it is not for a time when
 * it has failed many in a row. One for all threads.
 */

#ifndef LOGIC_BREAKER_H
#define LOGIC_BREAKER_H

#include "conf.h"

/* -1: it is not. who: anything that no other login is at the same time. */
int logic_breaker_ask(const logic_conf_t *conf, const void *who);

/* How it went; good: it has answered, whatever it said. */
void logic_breaker_told(const logic_conf_t *conf, const void *who, int good);

/* It was not asked after all. */
void logic_breaker_unasked(const void *who);

#endif
