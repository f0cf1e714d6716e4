/*
 * Access to the HTTP API.
 *
 * Without keys whoever reaches the address may push, so it has to be loopback
 * or a unix socket ([api] open says otherwise). A browser on the same machine
 * reaches these too, for any page that its user visits: by the address, or by
 * a name of the page's own that leads there (DNS rebinding). The browser itself
 * says so, in Sec-Fetch-Site or Origin, and Host has the name.
 */

#include "access.h"

#include "bearer.h"

#include "http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "svc/log.h"

#define LOGIC_BEARER    "Bearer "
#define LOGIC_BLANK     ", \t"


static const char *logic_access_foreign(const logic_conf_t *lcf,
    http_request_t *req, unsigned scope);
static int logic_access_same(const char *origin, const char *host);
static int logic_access_host(const logic_conf_t *lcf, const char *host);
static int logic_access_listed(const char *list, const char *word,
    size_t len);
static const char *logic_access_word(const char **list, size_t *len);


static int
logic_access_refuse(logic_thread_t *t, http_request_t *req, int status,
    const char *why)
{
    metrics_add(status == 401 ? logic_m.api_unknown : logic_m.api_refused, 1);

    if (status == 401) {
        http_add_header(req, "WWW-Authenticate", "Bearer");
    }

    logic_http_answer(t, req, status, -status, why, NULL);

    return -1;
}


/* More than one is as a wrong one. */

const char *
logic_access_bearer(http_request_t *req)
{
    unsigned     at;
    const char  *value;

    at = 0;
    value = http_header_next(req, "Authorization", &at);

    if (value == NULL) {
        return NULL;
    }

    if (http_header_next(req, "Authorization", &at) != NULL
        || strncasecmp(value, LOGIC_BEARER, sizeof(LOGIC_BEARER) - 1) != 0)
    {
        return "";
    }

    return value + sizeof(LOGIC_BEARER) - 1;
}


int
logic_access(logic_thread_t *t, http_request_t *req, unsigned scope,
    logic_rooms_t rooms, const logic_apikey_t **key)
{
    const char          *text, *why;
    const logic_conf_t  *lcf;

    *key = NULL;

    if (scope == 0) {
        return 0;
    }

    lcf = t->conf;
    text = lcf->api_keys[0] != '\0' ? logic_access_bearer(req) : NULL;

    if (text == NULL) {

        if (lcf->api_keys[0] != '\0' && !lcf->api_open) {
            return logic_access_refuse(t, req, 401, "a key is needed: "
                                       "Authorization: Bearer KEY");
        }

        why = logic_access_foreign(lcf, req, scope);

        return why == NULL ? 0 : logic_access_refuse(t, req, 403, why);
    }

    *key = logic_keys_find(&t->keys, text, strlen(text));

    if (*key == NULL) {

        /* a user's own token, which the route looks at */

        if (scope == LOGIC_SCOPE_IM && logic_bearer_shown(t, req)) {
            return 0;
        }

        return logic_access_refuse(t, req, 401, "the key is not known");
    }

    if (((*key)->scopes & scope) == 0) {
        return logic_access_refuse(t, req, 403, "the key is not for this");
    }

    return rooms == LOGIC_ROOMS_NONE ? logic_access_all(t, req, *key) : 0;
}


int
logic_access_all(logic_thread_t *t, http_request_t *req,
    const logic_apikey_t *key)
{
    if (key == NULL || key->nrooms == 0) {
        return 0;
    }

    return logic_access_refuse(t, req, 403, "the key is for rooms only");
}


int
logic_access_room(logic_thread_t *t, http_request_t *req,
    const logic_apikey_t *key, const char *room, size_t len)
{
    if (key == NULL || logic_key_room(key, room, len)) {
        return 0;
    }

    return logic_access_refuse(t, req, 403, "the key is not for this room");
}


/* ---- what a browser says of a page -------------------------------------- */

static const char *
logic_access_foreign(const logic_conf_t *lcf, http_request_t *req,
    unsigned scope)
{
    const char  *host, *site, *origin;

    host = http_header(req, "Host");
    site = http_header(req, "Sec-Fetch-Site");
    origin = http_header(req, "Origin");

    if (scope != LOGIC_SCOPE_READ) {

        if (site != NULL
            ? strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0
            : origin != NULL
              && (host == NULL || !logic_access_same(origin, host)))
        {
            return "without a key not for pages of another origin";
        }
    }

    if (host != NULL && !logic_access_host(lcf, host)) {
        return "without a key the Host has to be an address, localhost, or one "
               "of [http] hosts";
    }

    return NULL;
}


static int
logic_access_same(const char *origin, const char *host)
{
    const char  *place;

    place = strstr(origin, "://");

    return place != NULL && strcasecmp(place + 3, host) == 0;
}


static int
logic_access_host(const logic_conf_t *lcf, const char *host)
{
    size_t      len;
    logic_ip_t  ip;

    len = strlen(host);

    if (len == 0 || logic_ip_parse(host, len, &ip) == 0) {
        return 1;
    }

    len = strcspn(host, ":");

    return logic_access_listed("localhost", host, len)
           || logic_access_listed(lcf->http_hosts, host, len);
}


/* ---- CORS --------------------------------------------------------------- */

void
logic_access_cors(logic_thread_t *t, http_request_t *req)
{
    const char  *origin;

    if (t->conf->http_origins[0] == '\0') {
        return;
    }

    http_add_header(req, "Vary", "Origin");

    origin = http_header(req, "Origin");

    if (origin == NULL
        || !logic_access_listed(t->conf->http_origins, origin,
                                strlen(origin)))
    {
        return;
    }

    http_add_header(req, "Access-Control-Allow-Origin", origin);

    if (http_method(req) == HTTP_OPTIONS) {
        http_add_header(req, "Access-Control-Allow-Methods", "GET, POST");
        http_add_header(req, "Access-Control-Allow-Headers",
                        "Authorization, Content-Type");
        http_add_header(req, "Access-Control-Max-Age", "600");
    }
}


/* ---- lists of the configuration ------------------------------------------ */

static int
logic_access_listed(const char *list, const char *word, size_t len)
{
    size_t       n;
    const char  *p;

    while ((p = logic_access_word(&list, &n)) != NULL) {
        if (n == len && strncasecmp(p, word, len) == 0) {
            return 1;
        }
    }

    return 0;
}


static const char *
logic_access_word(const char **list, size_t *len)
{
    const char  *p;

    p = *list + strspn(*list, LOGIC_BLANK);
    *len = strcspn(p, LOGIC_BLANK);
    *list = p + *len;

    return *len > 0 ? p : NULL;
}


int
logic_access_check(const logic_conf_t *lcf, char *err, size_t size)
{
    size_t       n;
    const char  *p, *list, *host;

    list = lcf->http_hosts;

    while ((p = logic_access_word(&list, &n)) != NULL) {
        if (n > 253 || strcspn(p, "/:*@") < n) {
            snprintf(err, size, "[http] hosts = \"%.128s\" is wrong: \"%.*s\" "
                     "is not a name of a host", lcf->http_hosts,
                     (int) (n < 64 ? n : 64), p);
            return -1;
        }
    }

    list = lcf->http_origins;

    while ((p = logic_access_word(&list, &n)) != NULL) {
        host = memmem(p, n, "://", 3);

        if (host == NULL || host == p || host + 3 == p + n || n > 300
            || strcspn(host + 3, "/*@?#") < (size_t) (p + n - host - 3))
        {
            snprintf(err, size, "[http] origins = \"%.128s\" is wrong: \"%.*s\" "
                     "is not scheme://host[:port]", lcf->http_origins,
                     (int) (n < 64 ? n : 64), p);
            return -1;
        }
    }

    return 0;
}
