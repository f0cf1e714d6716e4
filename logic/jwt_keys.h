/*
 * The keys that tokens are verified with: those of the files and of the URL
 * that [auth] names, together. The first thread reads and asks for them again
 * and again; what vanishes or is wrong then leaves those of before in force.
 */

#ifndef LOGIC_JWT_KEYS_H
#define LOGIC_JWT_KEYS_H

#include "rpc.h"

#include "jwk.h"

/* Whether the files of [auth] are good; no network. -1: err says which is not. */
int logic_jwt_keys_check(const logic_conf_t *conf, char *err, size_t size);

/* Those of the files, which are good; NULL: no memory. */
logic_jwks_t *logic_jwt_keys_files(const logic_conf_t *conf);

/* Once a process, before there are threads; -1: no memory. */
int logic_jwt_keys_init(const logic_conf_t *conf);

/* Of each thread, in mode jwt; -1: no memory or descriptors. */
int logic_jwt_keys_start(logic_thread_t *t);
void logic_jwt_keys_stop(logic_thread_t *t);

/* logins of the thread that wait, and calls for keys under way */
size_t logic_jwt_keys_busy(const logic_thread_t *t);

/* A reference to those in force. */
logic_jwks_t *logic_jwt_keys_get(void);

typedef enum {
    LOGIC_JWT_KEYS_WAITS,       /* `cb` comes, never from inside */
    LOGIC_JWT_KEYS_RECENT,      /* they have been asked for just now: no */
    LOGIC_JWT_KEYS_FULL         /* too many wait */
} logic_jwt_keys_code_t;

/* sure: those in force now came after the call; else they may be older */
typedef void (*logic_jwt_keys_pt)(void *data, int sure);

/*
 * A token needs a key that `seen` does not have: they are asked for
 * again, but not more often than [auth] refresh_min says.
 */
logic_jwt_keys_code_t logic_jwt_keys_want(logic_thread_t *t,
    const logic_jwks_t *seen, logic_jwt_keys_pt cb, void *data);

#endif
