/*
 * Commands to Redis and their answers.
 */

#include "redis_int.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


svc_redis_metrics_t  svc_redis_metrics;


/* A file or name that nothing uses is a mistake, as is one without its other
 * half. */
static int
svc_redis_check_tls(svc_redis_conf_t *conf, const char *host, char *err,
    size_t size)
{
    const svc_tls_conf_t  *tls;

    tls = &conf->tls;

    if (!tls->on) {
        if (tls->ca_file[0] == '\0' && tls->cert_file[0] == '\0'
            && tls->key_file[0] == '\0' && tls->server_name[0] == '\0')
        {
            return 0;
        }

        snprintf(err, size, "[redis] %s needs tls = on",
                 tls->ca_file[0] != '\0' ? "ca_file"
                 : tls->cert_file[0] != '\0' ? "cert_file"
                 : tls->key_file[0] != '\0' ? "key_file" : "server_name");
        return -1;
    }

    if (host[0] == '\0' && tls->server_name[0] == '\0') {
        snprintf(err, size, "[redis] tls = \"on\" needs a server_name with "
                 "addr = \"%.128s\"", conf->addr);
        return -1;
    }

    if (strlen(tls->server_name) > SVC_TLS_NAME) {
        snprintf(err, size, "[redis] server_name = \"%.64s\" is not 0 to %d "
                 "bytes", tls->server_name, SVC_TLS_NAME);
        return -1;
    }

    if ((tls->cert_file[0] == '\0') != (tls->key_file[0] == '\0')) {
        snprintf(err, size, "[redis] %s",
                 tls->key_file[0] == '\0' ? "cert_file needs a key_file"
                                          : "key_file needs a cert_file");
        return -1;
    }

    conf->secure = svc_tls_new("redis", tls, err, size);

    return conf->secure != NULL ? 0 : -1;
}


int
svc_redis_check(svc_redis_conf_t *conf, char *err, size_t size)
{
    char      host[SVC_TLS_NAME + 1];
    uint16_t  port;

    host[0] = '\0';

    if (strncmp(conf->addr, "unix:", 5) == 0) {

        if (conf->addr[5] != '/' || strlen(conf->addr + 5) > 107) {
            snprintf(err, size, "[redis] addr = \"%.128s\" is not a path of at "
                     "most 107 bytes behind unix:", conf->addr);
            return -1;
        }

    } else if (conf_addr(conf->addr, host, sizeof(host), &port) != 0) {
        snprintf(err, size, "[redis] addr = \"%.128s\" is neither host:port nor "
                 "unix:/path", conf->addr);
        return -1;
    }

    if (strlen(conf->prefix) > GOIM_PREFIX_MAX) {
        snprintf(err, size, "[redis] prefix = \"%.64s\" is not 0 to %d "
                 "bytes", conf->prefix, GOIM_PREFIX_MAX);
        return -1;
    }

    if (conf->user[0] != '\0' && conf->password[0] == '\0') {
        snprintf(err, size, "[redis] user = \"%s\" needs a password_file",
                 conf->user);
        return -1;
    }

    if (strlen(conf->password) > GOIM_PASSWORD_MAX) {
        snprintf(err, size, "[redis] password_file holds more than %d bytes",
                 GOIM_PASSWORD_MAX);
        return -1;
    }

    return svc_redis_check_tls(conf, host, err, size);
}


void
svc_redis_reload(const svc_redis_conf_t *conf)
{
    char  err[512];

    if (conf->secure == NULL) {
        return;
    }

    if (svc_tls_reload(conf->secure, err, sizeof(err)) != 0) {
        log_write(LOG_ERROR, "%s; what was read before stays", err);
        return;
    }

    log_write(LOG_NOTICE, "[redis] files of TLS read again");
}


static int
svc_redis_has(svc_script_t **list, size_t n, const svc_script_t *script)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (list[i] == script) {
            return 1;
        }
    }

    return 0;
}


static void
svc_redis_forget(svc_redis_t *r, const svc_script_t *script)
{
    size_t  i;

    for (i = 0; i < r->nknown; i++) {
        if (r->known[i] == script) {
            r->known[i] = r->known[--r->nknown];
            break;
        }
    }

    for (i = 0; i < r->nasked; i++) {
        if (r->asked[i] == script) {
            r->asked[i] = r->asked[--r->nasked];
            break;
        }
    }
}


/* A formatted command has been put into r->out. */
static int
svc_redis_queue(svc_redis_t *r, svc_redis_pt cb, void *data,
    svc_script_t *script)
{
    svc_redis_cmd_t  *cmd;

    cmd = malloc(sizeof(svc_redis_cmd_t));
    if (cmd == NULL) {
        abort();
    }

    cmd->next = NULL;
    cmd->cb = cb;
    cmd->data = data;
    cmd->script = script;
    cmd->end = r->sent + evbuffer_get_length(r->out);

    if (r->unsent == NULL) {
        r->unsent = cmd;
        r->moved = svc_now();
    }

    *r->last = cmd;
    r->last = &cmd->next;

    svc_redis_expect(r);

    /* what else is asked in this turn goes out by the same write */

    event_active(r->flush, EV_WRITE, 0);

    return 0;
}


static int
svc_redis_writable(svc_redis_t *r)
{
    return (r->state == SVC_REDIS_UP || r->state == SVC_REDIS_GREETING)
           && evbuffer_get_length(r->out) < SVC_REDIS_OUT_MAX;
}


static char *
svc_redis_put_number(char *p, char mark, size_t n)
{
    char    digits[20];
    size_t  i;

    i = sizeof(digits);

    do {
        digits[--i] = (char) ('0' + n % 10);
        n /= 10;
    } while (n > 0);

    *p++ = mark;
    memcpy(p, digits + i, sizeof(digits) - i);
    p += sizeof(digits) - i;
    *p++ = '\r';
    *p++ = '\n';

    return p;
}


/* The command in Redis's protocol, appended to r->out in one piece. */
static void
svc_redis_format(svc_redis_t *r, int argc, const char **argv,
    const size_t *argvlen)
{
    int                    i;
    char                  *p;
    size_t                 n, len;
    struct evbuffer_iovec  vec;

    n = 24;

    for (i = 0; i < argc; i++) {
        n += 26 + (argvlen != NULL ? argvlen[i] : strlen(argv[i]));
    }

    if (evbuffer_reserve_space(r->out, (ev_ssize_t) n, &vec, 1) < 1) {
        abort();
    }

    p = svc_redis_put_number(vec.iov_base, '*', (size_t) argc);

    for (i = 0; i < argc; i++) {
        len = (argvlen != NULL) ? argvlen[i] : strlen(argv[i]);

        p = svc_redis_put_number(p, '$', len);

        if (len > 0) {
            memcpy(p, argv[i], len);
            p += len;
        }

        *p++ = '\r';
        *p++ = '\n';
    }

    vec.iov_len = (size_t) (p - (char *) vec.iov_base);
    evbuffer_commit_space(r->out, &vec, 1);
}


int
svc_redis_send(svc_redis_t *r, svc_redis_pt cb, void *data, int argc,
    const char **argv, const size_t *argvlen)
{
    if (!svc_redis_writable(r)) {
        return -1;
    }

    svc_redis_format(r, argc, argv, argvlen);

    return svc_redis_queue(r, cb, data, NULL);
}


int
svc_redis_call(svc_redis_t *r, svc_redis_pt cb, void *data, int argc,
    const char **argv, const size_t *argvlen)
{
    if (r->state != SVC_REDIS_UP) {
        return -1;
    }

    return svc_redis_send(r, cb, data, argc, argv, argvlen);
}


int
svc_redis_callf(svc_redis_t *r, svc_redis_pt cb, void *data, const char *fmt,
    ...)
{
    int       len;
    char     *text;
    va_list   args;

    if (r->state != SVC_REDIS_UP || !svc_redis_writable(r)) {
        return -1;
    }

    va_start(args, fmt);
    len = redisvFormatCommand(&text, fmt, args);
    va_end(args);

    if (len < 0) {
        abort();        /* a wrong format or no memory */
    }

    evbuffer_add(r->out, text, (size_t) len);
    redisFreeCommand(text);

    return svc_redis_queue(r, cb, data, NULL);
}


static void
svc_redis_loaded(svc_redis_t *r, redisReply *reply, void *data)
{
    svc_script_t  *script;

    static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;

    script = data;

    if (reply == NULL || reply->type != REDIS_REPLY_STRING
        || reply->len != 40)
    {
        return;         /* it will be sent whole each time */
    }

    /* scripts are shared by threads; the name depends on the body alone */

    pthread_mutex_lock(&lock);

    if (script->sha[0] == '\0') {
        memcpy(script->sha, reply->str, 40);
    }

    pthread_mutex_unlock(&lock);

    if (r->nknown < SVC_REDIS_SCRIPTS
        && !svc_redis_has(r->known, r->nknown, script))
    {
        r->known[r->nknown++] = script;
    }
}


/*
 * The first call on a connection brings the script along (EVAL) and asks for
 * its name; from then on the name suffices. A Redis that has forgotten it
 * (SCRIPT FLUSH) answers NOSCRIPT: "the same step again" to the caller, and
 * the next call brings the script along.
 */
int
svc_redis_eval_in(svc_redis_t *r, svc_script_t *script, svc_redis_pt cb,
    void *data, int nkeys, int argc, const char **argv,
    const size_t *argvlen)
{
    int           i, n, known;
    char          keys[12];
    size_t        len[argc + 3];
    const char   *arg[argc + 3], *load[3];

    if (!svc_redis_writable(r)) {
        return -1;
    }

    known = svc_redis_has(r->known, r->nknown, script);

    if (!known && r->nasked < SVC_REDIS_SCRIPTS
        && !svc_redis_has(r->asked, r->nasked, script))
    {
        load[0] = "SCRIPT";
        load[1] = "LOAD";
        load[2] = script->body;

        r->asked[r->nasked++] = script;

        svc_redis_format(r, 3, load, NULL);
        svc_redis_queue(r, svc_redis_loaded, script, NULL);
    }

    n = snprintf(keys, sizeof(keys), "%d", nkeys);

    arg[0] = known ? "EVALSHA" : "EVAL";
    len[0] = strlen(arg[0]);
    arg[1] = known ? script->sha : script->body;
    len[1] = known ? 40 : strlen(script->body);
    arg[2] = keys;
    len[2] = (size_t) n;

    for (i = 0; i < argc; i++) {
        arg[3 + i] = argv[i];
        len[3 + i] = (argvlen != NULL) ? argvlen[i] : strlen(argv[i]);
    }

    svc_redis_format(r, argc + 3, arg, len);

    return svc_redis_queue(r, cb, data, known ? script : NULL);
}


int
svc_redis_eval(svc_redis_t *r, svc_script_t *script, svc_redis_pt cb,
    void *data, int nkeys, int argc, const char **argv,
    const size_t *argvlen)
{
    if (r->state != SVC_REDIS_UP) {
        return -1;
    }

    return svc_redis_eval_in(r, script, cb, data, nkeys, argc, argv, argvlen);
}


static int
svc_redis_is(const redisReply *reply, const char *code)
{
    size_t  n;

    n = strlen(code);

    return reply->len >= n && strncmp(reply->str, code, n) == 0;
}


svc_redis_class_t
svc_redis_class(const redisReply *reply)
{
    size_t  i;

    static const char *again[] = {
        "LOADING", "READONLY", "MISCONF", "BUSY ", "OOM", "CLUSTERDOWN",
        "TRYAGAIN", "MASTERDOWN", "NOREPLICAS", "NOSCRIPT", NULL
    };

    if (reply == NULL) {
        return SVC_REDIS_AGAIN;
    }

    if (reply->type != REDIS_REPLY_ERROR) {
        return SVC_REDIS_OK;
    }

    if (svc_redis_is(reply, "LIFE")) {
        return SVC_REDIS_LIFE;
    }

    if (svc_redis_is(reply, "WRONGTYPE")) {
        return SVC_REDIS_TYPE;
    }

    for (i = 0; again[i] != NULL; i++) {
        if (svc_redis_is(reply, again[i])) {
            return SVC_REDIS_AGAIN;
        }
    }

    return SVC_REDIS_ERROR;
}


int
svc_redis_answer(svc_redis_t *r, redisReply *reply)
{
    svc_redis_cmd_t  *cmd;

    cmd = r->first;

    if (cmd == NULL) {
        return -1;
    }

    r->first = cmd->next;

    if (r->first == NULL) {
        r->last = &r->first;
    }

    if (r->unsent == cmd) {
        r->unsent = cmd->next;      /* an answer before the question's end */
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        metrics_add(svc_redis_metrics.errors, 1);

        if (svc_redis_is(reply, "NOSCRIPT") && cmd->script != NULL) {
            svc_redis_forget(r, cmd->script);
        }

        if (svc_redis_is(reply, "OOM")) {
            r->full = svc_now() + SVC_REDIS_FULL;
        }

        /*
         * A master that became a replica stays one: the name may lead to the
         * new master. Another life is learnt only by connecting again.
         */

        if (svc_redis_is(reply, "READONLY") || svc_redis_is(reply, "LIFE")) {
            svc_redis_reconnect(r);
        }
    }

    if (cmd->cb != NULL) {
        cmd->cb(r, reply, cmd->data);
    }

    free(cmd);

    return 0;
}


/* ---- who watches ---- */

svc_redis_watch_t *
svc_redis_watch(svc_redis_t *r, const svc_redis_events_t *events)
{
    svc_redis_watch_t  *w, **place;

    w = calloc(1, sizeof(svc_redis_watch_t));
    if (w == NULL) {
        abort();
    }

    w->events = *events;

    for (place = &r->watches; *place != NULL; place = &(*place)->next) {
        /* void */
    }

    *place = w;

    return w;
}


void
svc_redis_sweep(svc_redis_t *r, int all)
{
    svc_redis_watch_t  *w, **place;

    for (place = &r->watches; *place != NULL; /* void */ ) {
        w = *place;

        if (all || w->gone) {
            *place = w->next;
            free(w);

        } else {
            place = &w->next;
        }
    }
}


void
svc_redis_unwatch(svc_redis_t *r, svc_redis_watch_t *w)
{
    w->gone = 1;

    if (!r->telling) {
        svc_redis_sweep(r, 0);
    }
}


void
svc_redis_tell(svc_redis_t *r, int up)
{
    svc_redis_watch_t  *w;

    r->telling = 1;

    for (w = r->watches; w != NULL; w = w->next) {

        if (w->gone) {
            continue;
        }

        if (up && w->events.up != NULL) {
            w->events.up(r, w->events.data);

        } else if (!up && w->events.down != NULL) {
            w->events.down(r, w->events.data);
        }
    }

    r->telling = 0;

    svc_redis_sweep(r, 0);
}


int
svc_redis_is_up(svc_redis_t *r)
{
    return r->state == SVC_REDIS_UP;
}


const char *
svc_redis_prefix(svc_redis_t *r)
{
    return r->prefix;
}


const char *
svc_redis_run_id(svc_redis_t *r)
{
    return r->run_id;
}


uint64_t
svc_redis_life(svc_redis_t *r)
{
    return r->life;
}


int
svc_redis_is_full(svc_redis_t *r)
{
    return svc_now() < r->full;
}


int64_t
svc_redis_since(svc_redis_t *r)
{
    return r->since;
}


const svc_redis_conf_t *
svc_redis_conf(svc_redis_t *r)
{
    return &r->conf;
}
