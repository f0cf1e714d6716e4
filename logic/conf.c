/*
 * logic's configuration; docs/logic.conf.md describes each key.
 */

#include "conf.h"
#include "access.h"
#include "grants.h"
#include "im.h"
#include "logic.h"
#include "rpc_secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "svc/conf.h"
#include "svc/im.h"
#include "svc/listen.h"
#include "svc/log.h"


static int logic_conf_kafka(void *conf, const char *name, const char *value,
    char *err, size_t size);
static int logic_conf_region(void *conf, const char *name, const char *value,
    char *err, size_t size);
static int logic_conf_check(void *conf, char *err, size_t size);
static int logic_conf_addr(const char *section, const char *name,
    const char *addr, char *err, size_t size);
static int logic_conf_rate(const char *name, double rate, char *err,
    size_t size);
static int logic_conf_api(const logic_conf_t *lcf, char *err, size_t size);


#define LOGIC_CONF(section, name, type, field, def, min, max)                \
    { section, name, type, offsetof(logic_conf_t, field), def, min, max, NULL }

#define LOGIC_WORD(section, name, field, def, words)                         \
    { section, name, CONF_WORD, offsetof(logic_conf_t, field), def, 0, 0,    \
      words }

#define LOGIC_HOOK_CONF(section, field)                                      \
    LOGIC_CONF(section, "url", CONF_STR, field.url, "", 0, 0),               \
    LOGIC_CONF(section, "ca", CONF_STR, field.ca, "", 0, 0),                 \
    LOGIC_CONF(section, "timeout", CONF_MSEC, field.timeout, "3s",           \
               10, 60000),                                                   \
    LOGIC_CONF(section, "connections", CONF_INT, field.connections, "32",    \
               1, 10000),                                                    \
    LOGIC_CONF(section, "waiting", CONF_INT, field.waiting, "1000",          \
               0, 1000000)


static const char *const  more_names[] = { "kick", "refuse", NULL };

static const conf_key_t  logic_keys[] = {

    LOGIC_CONF("logic", "log", CONF_STR, log, "stderr", 0, 0),
    LOGIC_WORD("logic", "log_level", log_level, "notice", log_names),
    LOGIC_CONF("logic", "http", CONF_STR, http, "127.0.0.1:3111", 0, 0),
    LOGIC_CONF("logic", "rpc", CONF_STR, rpc, "127.0.0.1:3119", 0, 0),
    LOGIC_CONF("logic", "threads", CONF_INT, threads, "0", 0, 256),
    LOGIC_CONF("logic", "drain", CONF_MSEC, drain, "10s", 0, 600000),
    LOGIC_CONF("logic", "canary", CONF_MSEC, canary, "5s", 0, 5000),
    LOGIC_CONF("logic", "stream_maxlen", CONF_INT, stream_maxlen, "10000",
               100, 100000000),

    LOGIC_CONF("rpc", "secret_file", CONF_FILE, rpc_secret, "", 0, 0),
    LOGIC_CONF("rpc", "open", CONF_BOOL, rpc_open, "off", 0, 0),

    LOGIC_CONF("http", "timeout", CONF_MSEC, http_timeout, "60s",
               1000, 3600000),
    LOGIC_CONF("http", "keepalive", CONF_MSEC, keepalive, "75s",
               1000, 86400000),
    LOGIC_CONF("http", "max_connections", CONF_INT, max_connections, "10000",
               1, 1000000),
    LOGIC_CONF("http", "max_body", CONF_SIZE, max_body, "512k",
               0, GOIM_BODY_MAX),
    LOGIC_CONF("http", "max_header", CONF_SIZE, max_header, "1m",
               1024, 16 * 1024 * 1024),
    LOGIC_CONF("http", "public", CONF_STR, http_public, "", 0, 0),
    LOGIC_CONF("http", "origins", CONF_STR, http_origins, "", 0, 0),
    LOGIC_CONF("http", "hosts", CONF_STR, http_hosts, "", 0, 0),
    LOGIC_CONF("http", "trusted_proxies", CONF_STR, trusted_list, "", 0, 0),

    LOGIC_CONF("api", "keys", CONF_STR, api_keys, "", 0, 0),
    LOGIC_CONF("api", "open", CONF_BOOL, api_open, "off", 0, 0),

    LOGIC_CONF("push", "timeout", CONF_MSEC, push_timeout, "5s",
               100, 60000),
    LOGIC_CONF("push", "max_keys", CONF_INT, max_keys, "100000",
               1, 1000000),
    LOGIC_CONF("push", "max_pending", CONF_SIZE, max_pending, "64m",
               1024, 16LL * 1024 * 1024 * 1024),

    LOGIC_CONF("session", "ttl", CONF_MSEC, ttl, "30m", 2000, 604800000),
    LOGIC_CONF("session", "heartbeat", CONF_MSEC, heartbeat, "4m",
               1000, 86400000),
    LOGIC_CONF("session", "heartbeat_max", CONF_INT, heartbeat_max, "2",
               1, 100),

    LOGIC_CONF("session", "max_per_mid", CONF_INT, max_per_mid, "0", 0, 1000),
    LOGIC_CONF("session", "mobile", CONF_INT, per_class[1], "0", 0, 1000),
    LOGIC_CONF("session", "desktop", CONF_INT, per_class[2], "0", 0, 1000),
    LOGIC_CONF("session", "web", CONF_INT, per_class[3], "0", 0, 1000),
    LOGIC_WORD("session", "one_more", one_more, "kick", more_names),
    LOGIC_CONF("registry", "ttl", CONF_MSEC, node_ttl, "30s",
               1000, 3600000),
    LOGIC_CONF("registry", "renew", CONF_MSEC, node_renew, "10s",
               100, 3600000),

    LOGIC_CONF("online", "max_rooms", CONF_INT, max_rooms, "1000000",
               1, 100000000),
    LOGIC_CONF("online", "cache", CONF_MSEC, top_cache, "1s", 0, 60000),

    LOGIC_CONF("nodes", "domain", CONF_STR, domain, "", 0, 0),
    LOGIC_CONF("nodes", "host_domain", CONF_STR, host_domain, "", 0, 0),
    LOGIC_CONF("nodes", "tcp_port", CONF_INT, tcp_port, "3101", 0, 65535),
    LOGIC_CONF("nodes", "ws_port", CONF_INT, ws_port, "3102", 0, 65535),
    LOGIC_CONF("nodes", "wss_port", CONF_INT, wss_port, "3103", 0, 65535),
    LOGIC_CONF("nodes", "region_weight", CONF_NUM, region_weight, "1.6",
               0, 1000),
    LOGIC_CONF("nodes", "region_header", CONF_STR, region_header,
               "X-Goim-Region", 0, 0),

    LOGIC_CONF("backoff", "max_delay", CONF_INT, max_delay, "300",
               1, 86400),
    LOGIC_CONF("backoff", "base_delay", CONF_INT, base_delay, "3",
               0, 86400),
    LOGIC_CONF("backoff", "factor", CONF_NUM, factor, "1.8", 1, 100),
    LOGIC_CONF("backoff", "jitter", CONF_NUM, jitter, "0.3", 0, 1),

    LOGIC_WORD("auth", "mode", auth_mode, "", logic_auth_names),
    LOGIC_CONF("auth", "pass", CONF_STR, pass_list,
               "query, Origin, User-Agent, Authorization, X-Request-Id", 0, 0),
    LOGIC_HOOK_CONF("auth", auth_hook),
    LOGIC_CONF("auth", "retries", CONF_INT, auth_hook.retries, "2", 0, 5),
    LOGIC_CONF("auth", "failures", CONF_INT, auth_failures, "20",
               0, 1000000),
    LOGIC_CONF("auth", "pause", CONF_MSEC, auth_pause, "5s", 100, 600000),
    LOGIC_CONF("auth", "algorithms", CONF_STR, algorithms, "", 0, 0),
    LOGIC_CONF("auth", "secret_file", CONF_STR, secret_file, "", 0, 0),
    LOGIC_CONF("auth", "keys", CONF_STR, key_list, "", 0, 0),
    LOGIC_CONF("auth", "jwks", CONF_STR, jwks_hook.url, "", 0, 0),
    LOGIC_CONF("auth", "refresh", CONF_MSEC, refresh, "10m",
               1000, 86400000),
    LOGIC_CONF("auth", "refresh_min", CONF_MSEC, refresh_min, "30s",
               100, 3600000),
    LOGIC_CONF("auth", "issuer", CONF_STR, issuer, "", 0, 0),
    LOGIC_CONF("auth", "audience", CONF_STR, audience, "", 0, 0),
    LOGIC_CONF("auth", "leeway", CONF_MSEC, jwt.leeway, "5s", 0, 300000),
    LOGIC_HOOK_CONF("receive", receive_hook),

    LOGIC_CONF("send", "max_size", CONF_SIZE, send_max, "4k",
               0, GOIM_BODY_MAX),
    LOGIC_CONF("send", "envelope", CONF_BOOL, send_envelope, "off", 0, 0),
    LOGIC_CONF("send", "rate", CONF_NUM, send_rate, "10", 0, 100000),
    LOGIC_CONF("send", "burst", CONF_INT, send_burst, "20", 1, 100000),
    LOGIC_CONF("send", "mid_rate", CONF_NUM, mid_rate, "20", 0, 100000),
    LOGIC_CONF("send", "mid_burst", CONF_INT, mid_burst, "40", 1, 100000),
    LOGIC_HOOK_CONF("before", before_hook),

    LOGIC_CONF("events", "url", CONF_STR, events_hook.url, "", 0, 0),
    LOGIC_CONF("events", "ca", CONF_STR, events_hook.ca, "", 0, 0),
    LOGIC_CONF("events", "timeout", CONF_MSEC, events_hook.timeout, "10s",
               10, 60000),
    LOGIC_CONF("events", "secret_file", CONF_FILE, events_secret, "", 0, 0),
    LOGIC_CONF("events", "types", CONF_STR, events_list,
               "connect, disconnect, join, leave", 0, 0),
    LOGIC_CONF("events", "max", CONF_INT, events_max, "100000",
               1000, 10000000),

    LOGIC_CONF("im", "db", CONF_STR, im_db, "", 0, 0),
    LOGIC_CONF("im", "insecure", CONF_BOOL, im_insecure, "off", 0, 0),
    LOGIC_CONF("im", "topic", CONF_STR, im_topic, "goim-im-topic", 0, 0),
    LOGIC_CONF("im", "ticket_key", CONF_FILE, ticket_key, "", 0, 0),
    LOGIC_CONF("im", "public_url", CONF_STR, public_url, "", 0, 0),
    LOGIC_CONF("im", "max_body", CONF_SIZE, im_max_body, "4000", 1,
               GOIM_IM_BODY),
    LOGIC_CONF("im", "offline_push", CONF_INT, im_offline_push, "0", 0,
               GOIM_IM_OFFLINE),

    LOGIC_CONF("offline", "url", CONF_STR, offline_hook.url, "", 0, 0),
    LOGIC_CONF("offline", "ca", CONF_STR, offline_hook.ca, "", 0, 0),
    LOGIC_CONF("offline", "timeout", CONF_MSEC, offline_hook.timeout, "10s",
               10, 60000),
    LOGIC_CONF("offline", "secret_file", CONF_FILE, offline_secret, "", 0, 0),
    LOGIC_CONF("offline", "delay", CONF_MSEC, offline_delay, "10s",
               0, 3600000),
    LOGIC_CONF("offline", "every", CONF_MSEC, offline_every, "1m",
               0, 86400000),

    SVC_REDIS_CONF(logic_conf_t, redis),
    BUS_CONF(logic_conf_t, bus),
    { NULL, NULL, 0, 0, NULL, 0, 0, NULL }
};

static const conf_free_t  logic_free[] = {
    { "kafka", logic_conf_kafka },
    { "regions", logic_conf_region },
    { NULL, NULL }
};

const conf_schema_t  logic_schema = {
    logic_keys, logic_free, logic_conf_check
};


static int
logic_conf_kafka(void *conf, const char *name, const char *value, char *err,
    size_t size)
{
    logic_conf_t  *lcf = conf;

    return bus_conf_kafka(&lcf->bus, name, value, err, size);
}


static int
logic_conf_region(void *conf, const char *name, const char *value, char *err,
    size_t size)
{
    logic_conf_t  *lcf = conf;

    char  *copy;

    copy = strdup(name);
    if (copy == NULL) {
        snprintf(err, size, "no memory");
        return -1;
    }

    if (logic_cidrs_add(&lcf->regions, value, copy, err, size) != 0) {
        free(copy);             /* nothing is loaded then */
        return -1;
    }

    return 0;
}


static int
logic_conf_check(void *conf, char *err, size_t size)
{
    logic_conf_t  *lcf = conf;

    char  why[256];

    if (logic_conf_addr("logic", "http", lcf->http, err, size) != 0
        || logic_conf_addr("logic", "rpc", lcf->rpc, err, size) != 0
        || logic_conf_api(lcf, err, size) != 0
        || logic_rpc_secret_check(lcf, err, size) != 0)
    {
        return -1;
    }

    if (logic_cidrs_add(&lcf->trusted, lcf->trusted_list, "", why,
                        sizeof(why)) != 0
        || logic_cidrs_sort(&lcf->trusted, why, sizeof(why)) != 0)
    {
        snprintf(err, size, "[http] trusted_proxies = \"%.64s\" is wrong: %s",
                 lcf->trusted_list, why);
        return -1;
    }

    if (logic_cidrs_sort(&lcf->regions, why, sizeof(why)) != 0) {
        snprintf(err, size, "[regions]: %s", why);
        return -1;
    }

    if (lcf->node_renew * 2 > lcf->node_ttl) {
        snprintf(err, size, "[registry] renew = %lldms is more than half of "
                 "ttl = %lldms", (long long) lcf->node_renew,
                 (long long) lcf->node_ttl);
        return -1;
    }

    /* a mapping is renewed with a heartbeat, and there must be time for
       another try; the bound also keeps the product in 32 bits */

    if (lcf->heartbeat * lcf->heartbeat_max > lcf->ttl / 2) {
        snprintf(err, size, "[session] ttl = %llds is less than twice "
                 "heartbeat * heartbeat_max, %llds",
                 (long long) lcf->ttl / 1000,
                 (long long) (lcf->heartbeat * lcf->heartbeat_max) / 1000);
        return -1;
    }

    lcf->bus.timeout = lcf->push_timeout;

    if (logic_conf_hook("auth", "url", &lcf->auth_hook, err, size) != 0
        || logic_conf_hook("receive", "url", &lcf->receive_hook, err,
                           size) != 0
        || logic_conf_hook("before", "url", &lcf->before_hook, err, size) != 0
        || logic_conf_rate("rate", lcf->send_rate, err, size) != 0
        || logic_conf_rate("mid_rate", lcf->mid_rate, err, size) != 0
        || svc_redis_check(&lcf->redis, err, size) != 0
        || bus_check(&lcf->bus, err, size) != 0
        || im_check(lcf->im_db, lcf->im_topic, err, size) != 0)
    {
        return -1;
    }

    if (logic_conf_events(lcf, err, size) != 0
        || logic_conf_offline(lcf, err, size) != 0)
    {
        return -1;
    }

    if (logic_conf_auth(lcf, err, size) != 0) {
        return -1;
    }

    /* anybody would read everybody's messages */

    if (lcf->im_db[0] != '\0' && lcf->auth == LOGIC_AUTH_TRUST
        && !lcf->im_insecure)
    {
        snprintf(err, size, "[im] db with [auth] mode = trust: anybody may be "
                 "anyone and read it; mode = jwt or http, or [im] insecure = "
                 "on");
        return -1;
    }

    return logic_im_ticket_check(lcf, err, size);
}


/* A token comes at least once an hour. */

static int
logic_conf_rate(const char *name, double rate, char *err, size_t size)
{
    if (logic_rate_valid(rate)) {
        return 0;
    }

    snprintf(err, size, "[send] %s = \"%g\" is less than 0.0003, once an hour",
             name, rate);

    return -1;
}


/* Whoever reaches the API may push to everybody. */

static int
logic_conf_api(const logic_conf_t *lcf, char *err, size_t size)
{
    char  why[512];

    if (lcf->http_public[0] != '\0'
        && logic_conf_addr("http", "public", lcf->http_public, err, size) != 0)
    {
        return -1;
    }

    if (logic_access_check(lcf, err, size) != 0) {
        return -1;
    }

    if (lcf->api_keys[0] != '\0') {

        if (logic_keys_load(lcf->api_keys, why, sizeof(why)) != 0) {
            snprintf(err, size, "[api] keys = \"%.128s\" %s", lcf->api_keys,
                     why);
            return -1;
        }

        return 0;
    }

    if (!lcf->api_open && !svc_listen_local(lcf->http)) {
        snprintf(err, size, "[logic] http = \"%.128s\" is neither loopback nor "
                 "a unix socket: set [api] keys, or [api] open = on if nobody "
                 "else reaches it", lcf->http);
        return -1;
    }

    return 0;
}


static int
logic_conf_addr(const char *section, const char *name, const char *addr,
    char *err, size_t size)
{
    char  why[256];

    if (strcmp(name, "rpc") == 0 && svc_listen_unix(addr)) {
        snprintf(err, size, "[logic] rpc = \"%.128s\" is not IP:port", addr);
        return -1;
    }

    if (svc_listen_check(addr, why, sizeof(why)) != 0) {
        snprintf(err, size, "[%s] %s = %s", section, name, why);
        return -1;
    }

    return 0;
}


/* http[s]://host[:port][/path][?query] */

int
logic_conf_hook(const char *section, const char *key,
    logic_hook_conf_t *hook, char *err, size_t size)
{
    int          tls;
    char         addr[300];
    size_t       i, len;
    const char  *p;

    if (hook->url[0] == '\0') {
        return 0;
    }

    if (hook->ca[0] != '\0' && access(hook->ca, R_OK) != 0) {
        snprintf(err, size, "[%s] ca = \"%.128s\" cannot be read: %s",
                 section, hook->ca, strerror(errno));
        return -1;
    }

    p = hook->url;
    tls = strncmp(p, "https://", 8) == 0;

    if (!tls && strncmp(p, "http://", 7) != 0) {
        goto failed;
    }

    for (i = 0; p[i] != '\0'; i++) {
        if (p[i] <= ' ' || p[i] >= 0x7f || p[i] == '#') {
            goto failed;
        }
    }

    p += tls ? 8 : 7;
    len = strcspn(p, "/?");

    if (len == 0 || len > 256 || memchr(p, '@', len) != NULL) {
        goto failed;
    }

    snprintf(addr, sizeof(addr), "%.*s", (int) len, p);
    p = strrchr(addr, ':');

    if (p == NULL || strchr(p, ']') != NULL) {
        strcat(addr, tls ? ":443" : ":80");
    }

    if (conf_addr(addr, hook->host, sizeof(hook->host), &hook->port) == 0
        && hook->host[0] != '\0' && hook->port != 0)
    {
        return 0;
    }

failed:

    snprintf(err, size, "[%s] %s = \"%.128s\" is not "
             "http[s]://host[:port]/path", section, key, hook->url);

    return -1;
}
