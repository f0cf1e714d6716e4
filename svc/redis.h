/*
 * One asynchronous connection to Redis that outlives its disconnections:
 * connect, TLS, AUTH, SELECT, the life (DESIGN.md), then `up`. When it is lost or
 * late, everything outstanding is told so, and it connects again with backoff
 * (50 ms to 2 s, jitter). Late is who says nothing for the time set while a
 * command that was sent waits for its answer, or takes nothing of one. A
 * handle belongs to one event loop and is used from that thread alone. Names
 * are resolved with evdns or getaddrinfo off the loop.
 */

#ifndef SVC_REDIS_H
#define SVC_REDIS_H

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"
#include "conf.h"
#include "tls.h"

typedef struct svc_redis_s  svc_redis_t;

/* The [redis] section, the same in both services. */
typedef struct {
    char     *addr;         /* host:port, or unix:/path */
    char     *user;
    char     *password;     /* password_file */
    int64_t   db;
    char     *prefix;       /* before every key; default "" */
    int64_t   timeout;      /* ms, for connect, and for silence */

    svc_tls_conf_t   tls;
    svc_tls_t       *secure;    /* not from the file: of svc_redis_check();
                                   NULL: no TLS */
} svc_redis_conf_t;

/* The rows of a conf table for `field` (an svc_redis_conf_t) of `type`. */
#define SVC_REDIS_CONF(type, field)                                          \
    { "redis", "addr", CONF_STR, offsetof(type, field.addr),                 \
      "127.0.0.1:6379", 0, 0, NULL },                                        \
    { "redis", "user", CONF_STR, offsetof(type, field.user),                 \
      "", 0, 0, NULL },                                                      \
    { "redis", "password_file", CONF_FILE, offsetof(type, field.password),   \
      "", 0, 0, NULL },                                                      \
    { "redis", "db", CONF_INT, offsetof(type, field.db),                     \
      "0", 0, GOIM_REDIS_DB, NULL },                                         \
    { "redis", "prefix", CONF_STR, offsetof(type, field.prefix),             \
      "", 0, 0, NULL },                                                      \
    { "redis", "timeout", CONF_MSEC, offsetof(type, field.timeout), "2s",    \
      10, 600000, NULL },                                                    \
    { "redis", "tls", CONF_BOOL, offsetof(type, field.tls.on),               \
      "off", 0, 0, NULL },                                                   \
    { "redis", "ca_file", CONF_STR, offsetof(type, field.tls.ca_file),       \
      "", 0, 0, NULL },                                                      \
    { "redis", "cert_file", CONF_STR, offsetof(type, field.tls.cert_file),   \
      "", 0, 0, NULL },                                                      \
    { "redis", "key_file", CONF_STR, offsetof(type, field.tls.key_file),     \
      "", 0, 0, NULL },                                                      \
    { "redis", "server_name", CONF_STR,                                      \
      offsetof(type, field.tls.server_name), "", 0, 0, NULL }

/* Also reads the files of TLS: once. */
int svc_redis_check(svc_redis_conf_t *conf, char *err, size_t size);

/* SIGHUP: the files of TLS again, for connections made from then on. */
void svc_redis_reload(const svc_redis_conf_t *conf);

typedef struct {
    void  (*up)(svc_redis_t *r, void *data);      /* may be NULL */
    void  (*down)(svc_redis_t *r, void *data);    /* may be NULL */
    void   *data;
} svc_redis_events_t;

svc_redis_t *svc_redis_new(struct event_base *base,
    const svc_redis_conf_t *conf, const svc_redis_events_t *events);

/* Outstanding callbacks get NULL. Not from inside a callback of `r`. */
void svc_redis_free(svc_redis_t *r);

/* More who want to know, after the one given to svc_redis_new(). Ends before
 * the handle does; from inside its own callback too. */
typedef struct svc_redis_watch_s  svc_redis_watch_t;

svc_redis_watch_t *svc_redis_watch(svc_redis_t *r,
    const svc_redis_events_t *events);
void svc_redis_unwatch(svc_redis_t *r, svc_redis_watch_t *w);

int svc_redis_is_up(svc_redis_t *r);
const char *svc_redis_prefix(svc_redis_t *r);

/* This run of Redis: a number that only grows (milliseconds since 1970 or
 * more), kept in the hash goim:life. Valid while up. */
uint64_t svc_redis_life(svc_redis_t *r);

/* Whether it refused something with OOM in the last seconds. */
int svc_redis_is_full(svc_redis_t *r);

/* Redis's own name of it. Valid while up. */
const char *svc_redis_run_id(svc_redis_t *r);

/* When it came up last, by CLOCK_MONOTONIC in ms; 0: never. */
int64_t svc_redis_since(svc_redis_t *r);

/*
 * Redis's clock now, in ms since 1970: told when the connection came up and
 * reckoned from there. To be asked for again now and then, as clocks drift
 * and are set; or what it said by another way.
 */
int64_t svc_redis_clock(svc_redis_t *r);
void svc_redis_clock_ask(svc_redis_t *r);
void svc_redis_clock_set(svc_redis_t *r, int64_t now);

/* What it was made with. */
const svc_redis_conf_t *svc_redis_conf(svc_redis_t *r);

/*
 * `reply` is Redis's answer, an error reply too (REDIS_REPLY_ERROR); NULL:
 * the connection was lost or the time is up, and whether the command was
 * carried out is unknown. It is freed after the callback.
 */
typedef void (*svc_redis_pt)(svc_redis_t *r, redisReply *reply, void *data);

/* -1: not connected, nothing was sent, the callback does not come. */
int svc_redis_call(svc_redis_t *r, svc_redis_pt cb, void *data, int argc,
    const char **argv, const size_t *argvlen);

/* The same by a printf-like format (hiredis: %s, %b with a size_t). */
int svc_redis_callf(svc_redis_t *r, svc_redis_pt cb, void *data,
    const char *fmt, ...);

/* A Lua script: EVALSHA, and EVAL while Redis does not know it. A static of
 * the caller; threads may share it. */
typedef struct {
    const char  *body;
    char         sha[41];       /* told by Redis; zeroed at start */
} svc_script_t;

/* argv: the keys, then the arguments. */
int svc_redis_eval(svc_redis_t *r, svc_script_t *script, svc_redis_pt cb,
    void *data, int nkeys, int argc, const char **argv,
    const size_t *argvlen);

/*
 * What to do after an answer, the same everywhere:
 *   SVC_REDIS_OK     an answer
 *   SVC_REDIS_AGAIN  the same step again with backoff: NULL, LOADING,
 *                    READONLY, MISCONF, BUSY, OOM, CLUSTERDOWN, TRYAGAIN,
 *                    MASTERDOWN, NOREPLICAS, NOSCRIPT
 *   SVC_REDIS_LIFE   the script saw another life: it connects again by
 *                    itself, then the same step again
 *   SVC_REDIS_TYPE   WRONGTYPE: the key is broken
 *   SVC_REDIS_ERROR  anything else
 */
typedef enum {
    SVC_REDIS_OK, SVC_REDIS_AGAIN, SVC_REDIS_LIFE, SVC_REDIS_TYPE,
    SVC_REDIS_ERROR
} svc_redis_class_t;

svc_redis_class_t svc_redis_class(const redisReply *reply);

/* Drop the connection and connect again. From inside a callback too: it is
 * done when the loop gets to it. */
void svc_redis_reconnect(svc_redis_t *r);

#endif
