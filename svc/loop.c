/*
 * A service's process.
 */

#include "loop.h"

#include "log.h"
#include "notify.h"

#include <errno.h>
#include <event2/thread.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


typedef struct {
    const svc_t        *svc;
    struct event_base  *base;
    struct event       *term;
    struct event       *intr;
    struct event       *hup;
    struct event       *late;       /* the drain time is up */
    struct event       *fail;
    int                 draining;
    int                 failed;     /* atomic */
} svc_loop_t;


static svc_loop_t  svc_loop;


static void
svc_usage(const svc_t *svc, FILE *out)
{
    fprintf(out,
            "usage: %s [--config FILE] [--test]\n"
            "%s\n\n"
            "  -c, --config FILE  configuration; without it, defaults\n"
            "  -t, --test         check the configuration and exit\n"
            "  -v, --version      print the version and exit\n"
            "  -h, --help         print this and exit\n",
            svc->name, svc->summary);
}


/* -1: go on, else the exit code. */
static int
svc_options(const svc_t *svc, int argc, char **argv, const char **path,
    int *test)
{
    int  opt;

    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "test", no_argument, NULL, 't' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };

    *path = NULL;
    *test = 0;

    while ((opt = getopt_long(argc, argv, "c:tvh", options, NULL)) != -1) {

        switch (opt) {

        case 'c':
            *path = optarg;
            break;

        case 't':
            *test = 1;
            break;

        case 'v':
            printf("%s %s\n", svc->name, SVC_VERSION);
            return 0;

        case 'h':
            svc_usage(svc, stdout);
            return 0;

        default:
            svc_usage(svc, stderr);
            return 2;
        }
    }

    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument \"%s\"\n", svc->name,
                argv[optind]);
        svc_usage(svc, stderr);
        return 2;
    }

    return -1;
}


static int
svc_configure(const svc_t *svc, const char *path, log_level_t *level)
{
    char  err[1024];

    if (conf_load(path, svc->schema, svc->conf, err, sizeof(err)) != 0) {
        fprintf(stderr, "%s: %s\n", svc->name, err);
        return -1;
    }

    *level = (log_level_t) log_level(*svc->log_level);

    return 0;
}


static void
svc_libevent_log(int severity, const char *msg)
{
    static const log_level_t levels[] = {
        LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR
    };

    log_write(severity >= 0 && severity < 4 ? levels[severity] : LOG_ERROR,
              "libevent: %s", msg);
}


static void
svc_late(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;

    log_write(LOG_WARN, "%s: still busy after the drain time, ending",
              svc_loop.svc->name);

    svc_loop_done();
}


static void
svc_drain(const svc_t *svc)
{
    int64_t         ms;
    struct timeval  tv;

    svc_loop.draining = 1;
    notify_say("STOPPING=1");

    ms = svc->drain_time != NULL ? *svc->drain_time : 10000;
    tv.tv_sec = ms / 1000;
    tv.tv_usec = ms % 1000 * 1000;
    event_add(svc_loop.late, &tv);

    if (svc->drain != NULL) {
        svc->drain();

    } else {
        svc_loop_done();
    }
}


static void
svc_failed(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;

    if (!svc_loop.draining) {
        svc_drain(svc_loop.svc);
    }
}


static void
svc_terminate(evutil_socket_t fd, short what, void *data)
{
    const svc_t  *svc;

    (void) what;
    (void) data;

    svc = svc_loop.svc;

    if (svc_loop.draining) {
        log_write(LOG_NOTICE, "%s: second signal %d, ending at once",
                  svc->name, (int) fd);
        svc_loop_done();
        return;
    }

    log_write(LOG_NOTICE, "%s: signal %d, draining", svc->name, (int) fd);

    svc_drain(svc);
}


static void
svc_hangup(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;

    if (log_reopen() == 0) {
        log_write(LOG_NOTICE, "%s: log opened again", svc_loop.svc->name);
    }

    if (svc_loop.svc->reload != NULL) {
        svc_loop.svc->reload();
    }
}


/*
 * From the start until there are handlers signals wait: a SIGHUP would end
 * the process, and a SIGTERM would not say how it ended.
 */
static void
svc_hold_signals(int how)
{
    sigset_t  set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(how, &set, NULL);
}


static int
svc_prepare(void)
{
    struct sigaction  sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);

    event_set_log_callback(svc_libevent_log);

    if (evthread_use_pthreads() != 0) {
        return -1;
    }

    svc_loop.base = event_base_new();
    if (svc_loop.base == NULL) {
        return -1;
    }

    svc_loop.term = evsignal_new(svc_loop.base, SIGTERM, svc_terminate, NULL);
    svc_loop.intr = evsignal_new(svc_loop.base, SIGINT, svc_terminate, NULL);
    svc_loop.hup = evsignal_new(svc_loop.base, SIGHUP, svc_hangup, NULL);
    svc_loop.late = evtimer_new(svc_loop.base, svc_late, NULL);
    svc_loop.fail = evtimer_new(svc_loop.base, svc_failed, NULL);

    if (svc_loop.term == NULL || svc_loop.intr == NULL
        || svc_loop.hup == NULL || svc_loop.late == NULL
        || svc_loop.fail == NULL
        || event_add(svc_loop.term, NULL) != 0
        || event_add(svc_loop.intr, NULL) != 0
        || event_add(svc_loop.hup, NULL) != 0)
    {
        return -1;
    }

    svc_hold_signals(SIG_UNBLOCK);

    return 0;
}


static void
svc_finish(void)
{
    event_free(svc_loop.term);
    event_free(svc_loop.intr);
    event_free(svc_loop.hup);
    event_free(svc_loop.late);
    event_free(svc_loop.fail);
    event_base_free(svc_loop.base);
    libevent_global_shutdown();
}


int
svc_main(const svc_t *svc, int argc, char **argv)
{
    int          rc, test;
    char         why[600];
    const char  *path;
    log_level_t  level;

    svc_hold_signals(SIG_BLOCK);

    rc = svc_options(svc, argc, argv, &path, &test);
    if (rc != -1) {
        return rc;
    }

    if (svc_configure(svc, path, &level) != 0) {
        return 1;
    }

    if (test) {
        if (svc->warn != NULL && svc->warn(why, sizeof(why)) != 0) {
            fprintf(stderr, "%s: warning: %s\n", svc->name, why);
        }

        if (path != NULL) {
            printf("%s: configuration %s is ok\n", svc->name, path);

        } else {
            printf("%s: configuration is ok (defaults)\n", svc->name);
        }

        return 0;
    }

    if (log_open(*svc->log, level) != 0) {
        fprintf(stderr, "%s: log \"%s\": %s\n", svc->name, *svc->log,
                strerror(errno));
        return 1;
    }

    svc_loop.svc = svc;

    if (svc_prepare() != 0) {
        log_write(LOG_EMERG, "%s: cannot set up the event loop", svc->name);
        return 1;
    }

    if (path == NULL) {
        log_write(LOG_NOTICE, "%s: no --config given, using defaults",
                  svc->name);
    }

    log_write(LOG_NOTICE, "%s %s started", svc->name, SVC_VERSION);

    if (svc->start(svc_loop.base) != 0) {
        log_write(LOG_EMERG, "%s: could not start", svc->name);
        return 1;
    }

    event_base_dispatch(svc_loop.base);

    if (svc->stop != NULL) {
        svc->stop();
    }

    log_write(LOG_NOTICE, "%s stopped", svc->name);

    svc_finish();

    return svc_loop.failed;
}


void
svc_loop_done(void)
{
    event_base_loopexit(svc_loop.base, NULL);
}


void
svc_loop_fail(const char *why)
{
    if (__atomic_exchange_n(&svc_loop.failed, 1, __ATOMIC_RELAXED) != 0) {
        return;
    }

    log_write(LOG_EMERG, "%s", why);

    if (svc_loop.fail != NULL) {
        event_active(svc_loop.fail, EV_TIMEOUT, 0);
    }
}
