/*
 * The keys that tokens are verified with.
 *
 * Each source keeps the text that was good last; of all of them together a set
 * is made anew when one has changed. Sources and their texts belong to the
 * first thread, once there are threads; the set, and who waits for another
 * one, stand under a mutex.
 */

#include "jwt_keys.h"

#include "hook.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/conf.h"
#include "svc/log.h"
#include "svc/thread.h"

#define LOGIC_JWT_KEYS_SOURCES  (LOGIC_KEY_FILES + 2)   /* secret_file, jwks */


typedef enum {
    LOGIC_JWT_KEYS_SECRET, LOGIC_JWT_KEYS_FILE, LOGIC_JWT_KEYS_URL
} logic_jwt_keys_kind_t;

typedef struct {
    logic_jwt_keys_kind_t   kind;
    const char         *name;           /* of the file, or URL */
    char               *good;           /* its text; NULL: none so far */
} logic_source_t;

typedef struct logic_wait_s  logic_wait_t;

struct logic_wait_s {
    TAILQ_ENTRY(logic_wait_s)   entry;
    void                       *data;
    logic_jwt_keys_pt               cb;
    unsigned                    joined:1;   /* they were being asked for */
};

TAILQ_HEAD(logic_waits_s, logic_wait_s);

/* of a thread */
struct logic_jwt_keys_s {
    logic_thread_t             *thread;
    logic_jwt_keys_t               *next;           /* of all threads */
    svc_wake_t                  wake;
    struct logic_waits_s        waits;
    size_t                      nwaits;
    uint64_t                    seen;           /* refreshes, as told */

    logic_hook_t               *hook;           /* of the first one */
    struct event               *timer;          /* the same */
    unsigned                    stopping:1;
};


static int logic_jwt_keys_sources(const logic_conf_t *conf,
    logic_source_t *source);
static char *logic_jwt_keys_read(const logic_source_t *source, char *err,
    size_t size);
static int logic_jwt_keys_parse(const logic_conf_t *conf,
    const logic_source_t *source, const char *text, logic_jwks_t *set,
    char *err, size_t size);
static int logic_jwt_keys_take(const logic_conf_t *conf, logic_source_t *source,
    char *text, char *err, size_t size);
static int logic_jwt_keys_make(const logic_conf_t *conf, char *err, size_t size);
static void logic_jwt_keys_due(evutil_socket_t fd, short what, void *data);
static void logic_jwt_keys_refresh(logic_jwt_keys_t *k);
static void logic_jwt_keys_came(const logic_answer_t *answer, void *data);
static void logic_jwt_keys_done(logic_jwt_keys_t *k, int good);
static void logic_jwt_keys_woken(void *data);
static void logic_jwt_keys_tell(logic_jwt_keys_t *k, int good);


static logic_source_t    logic_source[LOGIC_JWT_KEYS_SOURCES];
static size_t            logic_nsources;

static pthread_mutex_t   logic_jwt_keys_lock = PTHREAD_MUTEX_INITIALIZER;
static logic_jwks_t     *logic_jwt_keys_set;        /* these are under it */
static logic_jwt_keys_t     *logic_jwt_keys_threads;
static uint64_t          logic_jwt_keys_count;      /* refreshes that are over */
static int               logic_jwt_keys_good;       /* the last one was */
static int               logic_jwt_keys_running;    /* one is under way */
static int               logic_jwt_keys_wanted;     /* or is to begin */
static int64_t           logic_jwt_keys_begun;      /* the last one; 0: none */
static int               logic_jwt_keys_stopped;    /* there will be none */


/* ---- sources ----------------------------------------------------------- */

static int
logic_jwt_keys_sources(const logic_conf_t *conf, logic_source_t *source)
{
    int  i, n;

    n = 0;

    if (conf->secret_file[0] != '\0') {
        source[n].kind = LOGIC_JWT_KEYS_SECRET;
        source[n++].name = conf->secret_file;
    }

    for (i = 0; i < conf->nkey_files; i++) {
        source[n].kind = LOGIC_JWT_KEYS_FILE;
        source[n++].name = conf->key_files[i];
    }

    if (conf->jwks_hook.url[0] != '\0') {
        source[n].kind = LOGIC_JWT_KEYS_URL;
        source[n++].name = conf->jwks_hook.url;
    }

    return n;
}


static char *
logic_jwt_keys_read(const logic_source_t *source, char *err, size_t size)
{
    char  *text, why[128];

    text = conf_file(source->name, why, sizeof(why));

    if (text == NULL) {
        snprintf(err, size, "cannot be read: %s", why);
    }

    return text;
}


static int
logic_jwt_keys_parse(const logic_conf_t *conf, const logic_source_t *source,
    const char *text, logic_jwks_t *set, char *err, size_t size)
{
    size_t  n, len;

    len = strlen(text);

    switch (source->kind) {

    case LOGIC_JWT_KEYS_SECRET:
        return logic_jwks_secret(set, conf->jwt.algs, text, len, err, size);

    case LOGIC_JWT_KEYS_FILE:
        n = set->n;

        if (text[strspn(text, " \t\r\n")] != '{') {
            return logic_jwks_pem(set, conf->jwt.algs, text, len, err, size);
        }

        if (logic_jwks_json(set, conf->jwt.algs,
                            conf->jwt.algs >> LOGIC_HS256 & 1, text, len, err,
                            size)
            != 0)
        {
            return -1;
        }

        break;

    default:
        n = set->n;

        if (logic_jwks_json(set, conf->jwt.algs, 0, text, len, err, size)
            != 0)
        {
            return -1;
        }
    }

    if (set->n == n) {
        snprintf(err, size, "no key for any of the algorithms");
        return -1;
    }

    return 0;
}


/* The text, which is the source's or is gone, if it is good by itself. */

static int
logic_jwt_keys_take(const logic_conf_t *conf, logic_source_t *source, char *text,
    char *err, size_t size)
{
    int            rc;
    logic_jwks_t  *set;

    set = logic_jwks_new();
    if (set == NULL) {
        snprintf(err, size, "no memory");
        free(text);
        return -1;
    }

    rc = logic_jwt_keys_parse(conf, source, text, set, err, size);
    logic_jwks_unref(set);

    if (rc != 0) {
        free(text);
        return -1;
    }

    free(source->good);
    source->good = text;

    return 0;
}


/* The set of all that is good. */

static int
logic_jwt_keys_make(const logic_conf_t *conf, char *err, size_t size)
{
    size_t         i;
    logic_jwks_t  *set, *old;

    set = logic_jwks_new();
    if (set == NULL) {
        snprintf(err, size, "no memory");
        return -1;
    }

    for (i = 0; i < logic_nsources; i++) {
        if (logic_source[i].good != NULL
            && logic_jwt_keys_parse(conf, &logic_source[i], logic_source[i].good,
                                set, err, size)
               != 0)
        {
            logic_jwks_unref(set);
            return -1;
        }
    }

    metrics_set(logic_m.jwt_keys, (int64_t) set->n);

    pthread_mutex_lock(&logic_jwt_keys_lock);
    old = logic_jwt_keys_set;
    logic_jwt_keys_set = set;
    pthread_mutex_unlock(&logic_jwt_keys_lock);

    logic_jwks_unref(old);

    return 0;
}


int
logic_jwt_keys_check(const logic_conf_t *conf, char *err, size_t size)
{
    int              i, n, rc;
    char            *text, why[256];
    logic_source_t   source[LOGIC_JWT_KEYS_SOURCES];

    memset(source, 0, sizeof(source));
    n = logic_jwt_keys_sources(conf, source);

    for (i = 0; i < n && source[i].kind != LOGIC_JWT_KEYS_URL; i++) {
        text = logic_jwt_keys_read(&source[i], why, sizeof(why));
        rc = text != NULL ? logic_jwt_keys_take(conf, &source[i], text, why,
                                            sizeof(why))
                          : -1;
        free(source[i].good);

        if (rc != 0) {
            snprintf(err, size, "[auth] %s = \"%.128s\": %s",
                     source[i].kind == LOGIC_JWT_KEYS_SECRET ? "secret_file"
                     : "keys", source[i].name, why);
            return -1;
        }
    }

    return 0;
}


logic_jwks_t *
logic_jwt_keys_files(const logic_conf_t *conf)
{
    int              i, n;
    char            *text, why[256];
    logic_jwks_t    *set;
    logic_source_t   source[LOGIC_JWT_KEYS_SOURCES];

    set = logic_jwks_new();
    n = logic_jwt_keys_sources(conf, source);

    for (i = 0; set != NULL && i < n; i++) {
        if (source[i].kind == LOGIC_JWT_KEYS_URL) {
            continue;
        }

        text = logic_jwt_keys_read(&source[i], why, sizeof(why));

        if (text != NULL) {
            (void) logic_jwt_keys_parse(conf, &source[i], text, set, why,
                                        sizeof(why));
        }

        free(text);
    }

    return set;
}


int
logic_jwt_keys_init(const logic_conf_t *conf)
{
    char    *text, why[256];
    size_t   i;

    logic_nsources = (size_t) logic_jwt_keys_sources(conf, logic_source);

    for (i = 0; i < logic_nsources; i++) {

        if (logic_source[i].kind != LOGIC_JWT_KEYS_URL) {
            text = logic_jwt_keys_read(&logic_source[i], why, sizeof(why));

            if (text == NULL
                || logic_jwt_keys_take(conf, &logic_source[i], text, why,
                                   sizeof(why))
                   != 0)
            {
                log_write(LOG_EMERG, "\"%s\": %s", logic_source[i].name, why);
                return -1;
            }
        }
    }

    if (logic_jwt_keys_make(conf, why, sizeof(why)) != 0) {
        log_write(LOG_EMERG, "[auth] keys: %s", why);
        return -1;
    }

    return 0;
}


/* ---- a thread ---------------------------------------------------------- */

int
logic_jwt_keys_start(logic_thread_t *t)
{
    logic_jwt_keys_t  *k;

    k = calloc(1, sizeof(logic_jwt_keys_t));
    if (k == NULL) {
        return -1;
    }

    k->thread = t;
    TAILQ_INIT(&k->waits);

    if (svc_wake_init(&k->wake, t->base, logic_jwt_keys_woken, k) != 0) {
        free(k);
        return -1;
    }

    t->jwt_keys = k;

    pthread_mutex_lock(&logic_jwt_keys_lock);
    k->next = logic_jwt_keys_threads;
    logic_jwt_keys_threads = k;
    pthread_mutex_unlock(&logic_jwt_keys_lock);

    if (t->index != 0) {
        return 0;
    }

    k->timer = evtimer_new(t->base, logic_jwt_keys_due, k);

    if (k->timer == NULL) {
        return -1;
    }

    if (t->conf->jwks_hook.url[0] != '\0') {
        k->hook = logic_hook_new(t->base, &t->conf->jwks_hook);

        if (k->hook == NULL) {
            return -1;
        }

        /* none are there yet */

        logic_jwt_keys_running = 1;
        svc_timer(k->timer, 0);

    } else {
        svc_timer(k->timer, t->conf->refresh);
    }

    return 0;
}


void
logic_jwt_keys_stop(logic_thread_t *t)
{
    logic_jwt_keys_t  *k, **p;

    k = t->jwt_keys;

    if (k == NULL) {
        return;
    }

    if (k->timer != NULL) {

        k->stopping = 1;
        logic_hook_free(k->hook);
        event_free(k->timer);

        /* who waits in other threads does so for nothing */

        pthread_mutex_lock(&logic_jwt_keys_lock);
        logic_jwt_keys_stopped = 1;
        logic_jwt_keys_good = 0;
        logic_jwt_keys_count++;

        for (p = &logic_jwt_keys_threads; *p != NULL; p = &(*p)->next) {
            svc_wake(&(*p)->wake);
        }

        pthread_mutex_unlock(&logic_jwt_keys_lock);
    }

    pthread_mutex_lock(&logic_jwt_keys_lock);

    for (p = &logic_jwt_keys_threads; *p != k; p = &(*p)->next) { /* void */ }

    *p = k->next;
    pthread_mutex_unlock(&logic_jwt_keys_lock);

    logic_jwt_keys_tell(k, 0);
    svc_wake_done(&k->wake);
    free(k);
    t->jwt_keys = NULL;
}


size_t
logic_jwt_keys_busy(const logic_thread_t *t)
{
    return t->jwt_keys != NULL ? t->jwt_keys->nwaits : 0;
}


logic_jwks_t *
logic_jwt_keys_get(void)
{
    logic_jwks_t  *set;

    pthread_mutex_lock(&logic_jwt_keys_lock);
    set = logic_jwks_ref(logic_jwt_keys_set);
    pthread_mutex_unlock(&logic_jwt_keys_lock);

    return set;
}


/* ---- asking for them again --------------------------------------------- */

logic_jwt_keys_code_t
logic_jwt_keys_want(logic_thread_t *t, const logic_jwks_t *seen,
    logic_jwt_keys_pt cb, void *data)
{
    int            recent;
    logic_jwt_keys_t  *k, *first;
    logic_wait_t  *w;

    k = t->jwt_keys;

    if (k->nwaits >= (size_t) t->conf->auth_hook.waiting) {
        return LOGIC_JWT_KEYS_FULL;
    }

    w = calloc(1, sizeof(logic_wait_t));
    if (w == NULL) {
        return LOGIC_JWT_KEYS_FULL;
    }

    w->data = data;
    w->cb = cb;

    pthread_mutex_lock(&logic_jwt_keys_lock);

    recent = 0;

    if (logic_jwt_keys_set != seen) {

        /* others have come meanwhile */

        k->seen = logic_jwt_keys_count - 1;
        w->joined = 1;
        svc_wake(&k->wake);

    } else if (logic_jwt_keys_running) {
        w->joined = 1;

    } else if (!logic_jwt_keys_wanted) {

        recent = logic_jwt_keys_stopped
                 || (logic_jwt_keys_begun != 0
                     && svc_now() - logic_jwt_keys_begun
                        < t->conf->refresh_min);

        if (!recent) {
            logic_jwt_keys_wanted = 1;

            for (first = logic_jwt_keys_threads; first->timer == NULL;
                 first = first->next)
            { /* void */ }

            svc_wake(&first->wake);
        }
    }

    pthread_mutex_unlock(&logic_jwt_keys_lock);

    if (recent) {
        free(w);
        return LOGIC_JWT_KEYS_RECENT;
    }

    TAILQ_INSERT_TAIL(&k->waits, w, entry);
    k->nwaits++;

    return LOGIC_JWT_KEYS_WAITS;
}


static void
logic_jwt_keys_woken(void *data)
{
    logic_jwt_keys_t  *k = data;

    int  begin, good, told;

    pthread_mutex_lock(&logic_jwt_keys_lock);
    told = k->seen != logic_jwt_keys_count;
    k->seen = logic_jwt_keys_count;
    good = logic_jwt_keys_good;
    begin = k->timer != NULL && logic_jwt_keys_wanted && !logic_jwt_keys_running;
    pthread_mutex_unlock(&logic_jwt_keys_lock);

    if (begin) {
        logic_jwt_keys_refresh(k);
    }

    if (told) {
        logic_jwt_keys_tell(k, good);
    }
}


/* Those that wait, not those that begin to meanwhile. */

static void
logic_jwt_keys_tell(logic_jwt_keys_t *k, int good)
{
    size_t         n;
    logic_wait_t  *w;

    for (n = k->nwaits; n > 0; n--) {
        w = TAILQ_FIRST(&k->waits);
        TAILQ_REMOVE(&k->waits, w, entry);
        k->nwaits--;

        w->cb(w->data, good && !w->joined);
        free(w);
    }
}


static void
logic_jwt_keys_due(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;

    logic_jwt_keys_refresh(data);
}


/* The files, and then the URL. */

static void
logic_jwt_keys_refresh(logic_jwt_keys_t *k)
{
    int                  good;
    char                *text, why[256];
    size_t               i;
    const char          *header[1];
    const logic_conf_t  *conf;

    conf = k->thread->conf;

    pthread_mutex_lock(&logic_jwt_keys_lock);
    logic_jwt_keys_running = 1;
    logic_jwt_keys_wanted = 0;
    logic_jwt_keys_begun = svc_now();
    pthread_mutex_unlock(&logic_jwt_keys_lock);

    event_del(k->timer);
    good = 1;

    for (i = 0; i < logic_nsources; i++) {

        if (logic_source[i].kind == LOGIC_JWT_KEYS_URL) {
            continue;
        }

        text = logic_jwt_keys_read(&logic_source[i], why, sizeof(why));

        if (text == NULL
            || logic_jwt_keys_take(conf, &logic_source[i], text, why, sizeof(why))
               != 0)
        {
            log_write(LOG_ERROR, "\"%s\": %s: the keys of before stay",
                      logic_source[i].name, why);
            good = 0;
        }
    }

    if (k->hook == NULL) {
        logic_jwt_keys_done(k, good);
        return;
    }

    header[0] = NULL;

    if (logic_hook_get(k->hook, header, logic_jwt_keys_came, k) != 0) {
        log_write(LOG_ERROR, "\"%s\": no memory", conf->jwks_hook.url);
        logic_jwt_keys_done(k, 0);
    }
}


static void
logic_jwt_keys_came(const logic_answer_t *answer, void *data)
{
    logic_jwt_keys_t  *k = data;

    int                  good;
    char                *text, why[256];
    logic_source_t      *source;
    const logic_conf_t  *conf;

    if (k->stopping) {
        return;
    }

    conf = k->thread->conf;
    source = &logic_source[logic_nsources - 1];
    good = 0;

    if (answer->status == 0) {
        snprintf(why, sizeof(why), "%.200s", answer->error);

    } else if (answer->status != 200) {
        snprintf(why, sizeof(why), "status %d", answer->status);

    } else if (memchr(answer->body, '\0', answer->len) != NULL) {
        snprintf(why, sizeof(why), "not a JWK Set: no JSON");

    } else {
        text = strndup(answer->body, answer->len);

        if (text == NULL) {
            snprintf(why, sizeof(why), "no memory");

        } else {
            good = logic_jwt_keys_take(conf, source, text, why, sizeof(why)) == 0;
        }
    }

    if (!good) {
        log_write(LOG_ERROR, "\"%s\": %s: %s", source->name, why,
                  source->good != NULL ? "the keys of before stay"
                  : "there are none of it yet");
    }

    logic_jwt_keys_done(k, good);
}


static void
logic_jwt_keys_done(logic_jwt_keys_t *k, int good)
{
    char                 why[256];
    logic_jwt_keys_t        *other;
    const logic_conf_t  *conf;

    conf = k->thread->conf;

    if (logic_jwt_keys_make(conf, why, sizeof(why)) != 0) {
        log_write(LOG_ERROR, "[auth] keys: %s: those of before stay", why);
        good = 0;
    }

    metrics_add(good ? logic_m.jwt_refreshed : logic_m.jwt_refresh_failed, 1);

    /* what failed is tried again soon */

    svc_timer(k->timer, !good && conf->refresh_min < conf->refresh
                        ? conf->refresh_min : conf->refresh);

    pthread_mutex_lock(&logic_jwt_keys_lock);

    logic_jwt_keys_running = 0;
    logic_jwt_keys_good = good;
    logic_jwt_keys_count++;

    for (other = logic_jwt_keys_threads; other != NULL; other = other->next) {
        svc_wake(&other->wake);
    }

    pthread_mutex_unlock(&logic_jwt_keys_lock);
}
