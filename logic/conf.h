/*
 * The configuration of logic (conf.c).
 */

#ifndef LOGIC_CONF_H
#define LOGIC_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "svc/bus.h"
#include "svc/conf.h"
#include "svc/redis.h"

#include "cidr.h"
#include "jwt.h"

typedef struct {
    char      *url;                 /* "": there is none */
    char      *ca;                  /* file of CAs; "": the system's */
    int64_t    timeout;             /* ms, waiting for a connection too */
    int64_t    connections;         /* a thread */
    int64_t    waiting;             /* a thread */
    int64_t    retries;             /* of a request; 0: none */

    char       host[256];           /* of url */
    uint16_t   port;
} logic_hook_conf_t;


typedef enum {
    LOGIC_AUTH_TRUST, LOGIC_AUTH_HTTP, LOGIC_AUTH_JWT
} logic_auth_t;

#define LOGIC_KEY_FILES  8
#define LOGIC_EVENTS_SET 32


typedef struct {
    bus_conf_t         bus;
    svc_redis_conf_t   redis;
    char              *im_db;       /* "": no messages between people */
    char              *im_topic;
    int                im_insecure; /* with [auth] mode = trust */
    char              *ticket_key;  /* what is in the file; "": no tickets */
    char              *public_url;  /* which they name; "": none */
    int64_t            im_max_body; /* of a payload by a socket */
    int64_t            im_offline_push; /* to a session that logs in, at most;
                                       0: none */

    const char        *log;
    const char        *log_level;
    char              *http;
    char              *rpc;
    char              *rpc_secret;          /* one or two lines; "": none */
    int                rpc_open;
    int64_t            threads;
    int64_t            drain;
    int64_t            canary;              /* 0: none */
    int64_t            stream_maxlen;

    int64_t            http_timeout;
    int64_t            keepalive;
    int64_t            max_connections;     /* a thread */
    int64_t            max_body;
    int64_t            max_header;
    char              *http_public;         /* "": none */
    char              *http_origins;
    char              *http_hosts;
    char              *api_keys;            /* a file; "": none */
    int                api_open;
    char              *trusted_list;
    logic_cidrs_t      trusted;

    int64_t            push_timeout;
    int64_t            max_keys;
    int64_t            max_pending;

    int64_t            ttl;
    int64_t            heartbeat;
    int64_t            heartbeat_max;
    int64_t            max_per_mid;         /* 0: any number */
    int64_t            per_class[4];    /* by logic_class_t; 0: any number */
    const char        *one_more;        /* "kick" or "refuse" */

    int64_t            node_ttl;
    int64_t            node_renew;

    int64_t            max_rooms;
    int64_t            top_cache;

    char              *domain;
    char              *host_domain;
    int64_t            tcp_port;
    int64_t            ws_port;
    int64_t            wss_port;
    double             region_weight;
    char              *region_header;

    int64_t            max_delay;
    int64_t            base_delay;
    double             factor;
    double             jitter;

    logic_cidrs_t      regions;

    char              *auth_mode;
    logic_auth_t       auth;
    char              *pass_list;
    unsigned           pass;            /* bits: of logic_pass_names */
    logic_hook_conf_t  auth_hook;
    int64_t            auth_failures;   /* in a row; 0: any */
    int64_t            auth_pause;      /* ms, behind them */

    char              *algorithms;
    char              *secret_file;
    char              *key_list;
    char              *key_files[LOGIC_KEY_FILES];
    int                nkey_files;
    logic_hook_conf_t  jwks_hook;       /* ca, timeout: those of auth_hook */
    int64_t            refresh;
    int64_t            refresh_min;
    char              *issuer;
    char              *audience;
    logic_jwt_rules_t  jwt;

    logic_hook_conf_t  receive_hook;

    int64_t            send_max;            /* bytes of a payload */
    int                send_envelope;
    double             send_rate;           /* a session's, in s; 0: any */
    int64_t            send_burst;
    double             mid_rate;            /* a user's */
    int64_t            mid_burst;
    logic_hook_conf_t  before_hook;

    logic_hook_conf_t  events_hook;
    char              *events_secret;       /* what is in the file */
    char              *events_list;
    int64_t            events_max;          /* that wait */
    char               events_set[LOGIC_EVENTS_SET];  /* for lib/who.lua; "":
                                               none are told */

    logic_hook_conf_t  offline_hook;
    char              *offline_secret;      /* what is in the file */
    int64_t            offline_delay;       /* ms before it is told, */
    int64_t            offline_every;       /* and before the next time */
} logic_conf_t;


extern const conf_schema_t  logic_schema;


/* ---- conf_auth.c ---- */

/* the modes, and what [auth] pass can name; NULL ends them */
extern const char *const    logic_auth_names[];
extern const char *const    logic_pass_names[];

int logic_conf_auth(logic_conf_t *lcf, char *err, size_t size);

/* the next word of a list, and what is behind it; NULL: there is none */
const char *logic_conf_word(const char **list, size_t *len);


/* ---- conf_events.c ---- */

/* types of events, by the first letters of which scripts know them; NULL ends
   them */
extern const char *const    logic_event_names[];

int logic_conf_events(logic_conf_t *lcf, char *err, size_t size);
int logic_conf_offline(logic_conf_t *lcf, char *err, size_t size);


/* ---- conf.c ---- */

/* A URL, [section] key, into its parts; none is fine. */
int logic_conf_hook(const char *section, const char *key,
    logic_hook_conf_t *hook, char *err, size_t size);

#endif
