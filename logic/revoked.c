/*
 * Tokens that are taken no longer. They stand in Redis, where logins are
 * compared with them; each process knows all of them, too, and puts them back
 * into a Redis that has lost them.
 */

#include "revoked.h"

#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#include "logic/lua/revoke.lua.h"
#include "logic/lua/revoked.lua.h"
#include "logic/lua/revoked_since.lua.h"

#define LOGIC_REVOKED_LOOK   500        /* ms */
#define LOGIC_REVOKED_READ   "1000"     /* of an answer */
#define LOGIC_REVOKED_SLICE  200        /* of those that are put back */
#define LOGIC_REVOKED_SWEEP  60000      /* ms */


typedef struct logic_known_s  logic_known_t;

struct logic_known_s {
    TAILQ_ENTRY(logic_known_s)  entry;
    int64_t                     till;
    int64_t                     end;
    size_t                      len;
    char                        what[];
};

TAILQ_HEAD(logic_knowns_s, logic_known_s);

typedef struct {
    logic_revoked_pt  cb;
    void             *data;
} logic_asked_t;


static void logic_revoked_tick(evutil_socket_t fd, short what, void *data);
static void logic_revoked_look(logic_thread_t *t);
static void logic_revoked_seen(svc_redis_t *r, redisReply *reply, void *data);
static int logic_revoked_said(const redisReply *what, const redisReply *says,
    logic_revoked_t *one);
static void logic_revoked_back(svc_redis_t *r, redisReply *reply, void *data);
static void logic_revoked_told(svc_redis_t *r, redisReply *reply, void *data);
static int logic_known_cmp(const void *one, const void *two);
static void logic_known_sweep(void);


static svc_script_t  logic_revoke_script = { .body = revoke_lua };
static svc_script_t  logic_revoked_script = { .body = revoked_lua };
static svc_script_t  logic_since_script = { .body = revoked_since_lua };

/* what all threads know; the lock is for both */
static pthread_mutex_t        logic_known_lock = PTHREAD_MUTEX_INITIALIZER;
static struct logic_knowns_s  logic_known = TAILQ_HEAD_INITIALIZER(logic_known);
static void                  *logic_known_tree;

/* of the first thread */
static struct event  *logic_revoked_timer;
static int64_t        logic_revoked_version;
static int64_t        logic_revoked_swept;
static int            logic_revoked_asked;
static int            logic_revoked_refused;    /* set by any thread */


int
logic_revoked_start(logic_thread_t *t)
{
    if (t->index != 0) {
        return 0;
    }

    logic_revoked_timer = evtimer_new(t->base, logic_revoked_tick, t);
    if (logic_revoked_timer == NULL) {
        return -1;
    }

    svc_timer(logic_revoked_timer, LOGIC_REVOKED_LOOK);

    return 0;
}


void
logic_revoked_stop(logic_thread_t *t)
{
    if (t->index == 0 && logic_revoked_timer != NULL) {
        event_free(logic_revoked_timer);
        logic_revoked_timer = NULL;
    }
}


/* ---- what others revoke ---- */

static void
logic_revoked_tick(evutil_socket_t fd, short what, void *data)
{
    logic_thread_t  *t = data;

    (void) fd;
    (void) what;

    if (svc_now() - logic_revoked_swept > LOGIC_REVOKED_SWEEP) {
        logic_revoked_swept = svc_now();
        logic_known_sweep();
    }

    if (__atomic_exchange_n(&logic_revoked_refused, 0, __ATOMIC_RELAXED)) {
        logic_revoked_up(t);
    }

    logic_revoked_look(t);
    svc_timer(logic_revoked_timer, LOGIC_REVOKED_LOOK);
}


static void
logic_revoked_look(logic_thread_t *t)
{
    char         version[24];
    const char  *argv[3];

    if (logic_revoked_asked) {
        return;
    }

    snprintf(version, sizeof(version), "%" PRId64, logic_revoked_version);

    argv[0] = svc_redis_prefix(t->redis);
    argv[1] = version;
    argv[2] = LOGIC_REVOKED_READ;

    logic_revoked_asked = svc_redis_eval(t->redis, &logic_since_script,
                                         logic_revoked_seen, t, 0, 3, argv,
                                         NULL)
                          == 0;
}


static void
logic_revoked_seen(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_thread_t  *t = data;

    size_t            i;
    int64_t           version;
    logic_revoked_t   one;

    (void) r;

    logic_revoked_asked = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements % 3 != 1
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        if (reply != NULL) {
            logic_redis_said("what is revoked", reply);
        }

        return;
    }

    version = strtoll(reply->element[0]->str, NULL, 10);

    /* it has lost some */

    if (version < logic_revoked_version) {
        logic_revoked_up(t);
        return;
    }

    for (i = 1; i < reply->elements; i += 3) {

        if (logic_revoked_said(reply->element[i], reply->element[i + 1], &one)
            == 0)
        {
            logic_revoked_know(&one, 1);
        }

        if (reply->element[i + 2]->type == REDIS_REPLY_STRING) {
            logic_revoked_version = strtoll(reply->element[i + 2]->str, NULL,
                                            10);
        }
    }

    if (reply->elements > 1) {
        logic_revoked_look(t);

    } else {
        logic_revoked_version = version;
    }
}


static int
logic_revoked_said(const redisReply *what, const redisReply *says,
    logic_revoked_t *one)
{
    if (what->type != REDIS_REPLY_STRING || says->type != REDIS_REPLY_STRING
        || what->len == 0 || what->len > sizeof(one->what)
        || sscanf(says->str, "%" SCNd64 " %" SCNd64, &one->till, &one->end)
           != 2)
    {
        return -1;
    }

    memcpy(one->what, what->str, what->len);
    one->len = what->len;

    return 0;
}


/* ---- to Redis ---- */

int
logic_revoked_put(logic_thread_t *t, const logic_revoked_t *list, size_t n,
    svc_redis_pt cb, void *data)
{
    int           rc;
    char          key[LOGIC_KEY_BUF], life[24], max[24], (*number)[2][24];
    size_t        i, *len;
    const char  **argv;

    number = malloc(n * sizeof(*number));
    argv = malloc((4 + 3 * n) * sizeof(char *));
    len = malloc((4 + 3 * n) * sizeof(size_t));

    if (number == NULL || argv == NULL || len == NULL) {
        rc = -1;
        goto done;
    }

    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(t->redis));
    snprintf(max, sizeof(max), "%d", LOGIC_REVOKED_MAX);

    key[logic_redis_key(t, key, "goim:", "life", 4)] = '\0';

    argv[0] = key;
    argv[1] = life;
    argv[2] = svc_redis_prefix(t->redis);
    argv[3] = max;

    for (i = 0; i < 4; i++) {
        len[i] = strlen(argv[i]);
    }

    for (i = 0; i < n; i++) {
        argv[4 + 3 * i] = list[i].what;
        len[4 + 3 * i] = list[i].len;

        argv[5 + 3 * i] = number[i][0];
        len[5 + 3 * i] = (size_t) snprintf(number[i][0], 24, "%" PRId64,
                                           list[i].till);
        argv[6 + 3 * i] = number[i][1];
        len[6 + 3 * i] = (size_t) snprintf(number[i][1], 24, "%" PRId64,
                                           list[i].end);
    }

    rc = svc_redis_eval(t->redis, &logic_revoke_script, cb, data, 1,
                        (int) (4 + 3 * n), argv, len);

done:

    free(number);
    free(argv);
    free(len);

    return rc;
}


void
logic_revoked_up(logic_thread_t *t)
{
    size_t            n;
    logic_known_t    *k;
    logic_revoked_t  *list;

    list = malloc(LOGIC_REVOKED_SLICE * sizeof(logic_revoked_t));
    if (list == NULL) {
        abort();
    }

    /* what others put back has other versions */

    if (t->index == 0) {
        logic_revoked_version = 0;
    }

    n = 0;
    pthread_mutex_lock(&logic_known_lock);

    TAILQ_FOREACH(k, &logic_known, entry) {
        memcpy(list[n].what, k->what, k->len);
        list[n].len = k->len;
        list[n].till = k->till;
        list[n++].end = k->end;

        if (n == LOGIC_REVOKED_SLICE) {
            (void) logic_revoked_put(t, list, n, logic_revoked_back, t);
            n = 0;
        }
    }

    pthread_mutex_unlock(&logic_known_lock);

    if (n > 0) {
        (void) logic_revoked_put(t, list, n, logic_revoked_back, t);
    }

    free(list);
}


/* A connection that is lost meanwhile comes back, and so do they; what Redis
 * refuses the first thread tries again. */

static void
logic_revoked_back(svc_redis_t *r, redisReply *reply, void *data)
{
    static log_once_t  once;

    (void) r;
    (void) data;

    if (reply == NULL) {
        return;
    }

    if (reply->type != REDIS_REPLY_INTEGER) {
        logic_redis_said("what is revoked", reply);
        __atomic_store_n(&logic_revoked_refused, 1, __ATOMIC_RELAXED);
        return;
    }

    if (reply->integer > 0) {
        metrics_add(logic_m.revoked_back, reply->integer);
        log_seldom(&once, LOG_WARN, "redis had lost revocations of tokens: "
                   "they are back");
    }
}


int
logic_revoked_ask(logic_thread_t *t, const logic_who_t *who,
    logic_revoked_pt cb, void *data)
{
    char            mid[24], iat[24];
    size_t          len[4];
    const char     *argv[4];
    logic_asked_t  *asked;

    asked = malloc(sizeof(logic_asked_t));
    if (asked == NULL) {
        return -1;
    }

    asked->cb = cb;
    asked->data = data;

    argv[0] = svc_redis_prefix(t->redis);
    len[0] = strlen(argv[0]);
    argv[1] = mid;
    len[1] = (size_t) snprintf(mid, sizeof(mid), "%" PRId64, who->mid);
    argv[2] = iat;
    len[2] = (size_t) snprintf(iat, sizeof(iat), "%" PRId64, who->iat);
    argv[3] = who->jti;
    len[3] = who->jti_len;

    if (svc_redis_eval(t->redis, &logic_revoked_script, logic_revoked_told,
                       asked, 0, 4, argv, len)
        != 0)
    {
        free(asked);
        return -1;
    }

    return 0;
}


static void
logic_revoked_told(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_asked_t  *asked = data;

    int  revoked;

    (void) r;

    revoked = -1;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        revoked = reply->integer != 0;

    } else if (reply != NULL) {
        logic_redis_said("whether a token is revoked", reply);
    }

    asked->cb(revoked, asked->data);
    free(asked);
}


/* ---- what this process knows ---- */

static int
logic_known_cmp(const void *one, const void *two)
{
    const logic_known_t  *a = one, *b = two;

    if (a->len != b->len) {
        return a->len < b->len ? -1 : 1;
    }

    return memcmp(a->what, b->what, a->len);
}


/* The wider counts, as in revoke.lua. */

void
logic_revoked_know(const logic_revoked_t *list, size_t n)
{
    size_t          i;
    logic_known_t  *k, **found;

    pthread_mutex_lock(&logic_known_lock);

    for (i = 0; i < n; i++) {
        k = calloc(1, sizeof(logic_known_t) + list[i].len);
        if (k == NULL) {
            abort();
        }

        memcpy(k->what, list[i].what, list[i].len);
        k->len = list[i].len;
        k->till = list[i].till;
        k->end = list[i].end;

        found = tsearch(k, &logic_known_tree, logic_known_cmp);
        if (found == NULL) {
            abort();
        }

        if (*found == k) {
            TAILQ_INSERT_TAIL(&logic_known, k, entry);
            metrics_add(logic_m.revocations, 1);
            continue;
        }

        if ((*found)->till < k->till) {
            (*found)->till = k->till;
        }

        if (k->end == 0 || ((*found)->end != 0 && (*found)->end < k->end)) {
            (*found)->end = k->end;
        }

        free(k);
    }

    pthread_mutex_unlock(&logic_known_lock);
}


static void
logic_known_sweep(void)
{
    int64_t         now;
    logic_known_t  *k, *next;

    now = svc_date();
    pthread_mutex_lock(&logic_known_lock);

    for (k = TAILQ_FIRST(&logic_known); k != NULL; k = next) {
        next = TAILQ_NEXT(k, entry);

        if (k->end != 0 && k->end < now) {
            TAILQ_REMOVE(&logic_known, k, entry);
            (void) tdelete(k, &logic_known_tree, logic_known_cmp);
            metrics_add(logic_m.revocations, -1);
            free(k);
        }
    }

    pthread_mutex_unlock(&logic_known_lock);
}
