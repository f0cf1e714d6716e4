/*
 * For the tests of what talks to Redis: a redis-server of the test's own in
 * a folder of its own, to be stopped, killed and started again, a blocking
 * connection to look into it, and a loop that runs until something is so.
 */

#ifndef TEST_REDIS_H
#define TEST_REDIS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "svc/clock.h"
#include "svc/log.h"
#include "svc/redis.h"

#define TEST_BOUND  30000       /* ms: what does not happen by then, fails */


typedef struct {
    char            dir[64];
    char            sock[96];
    char            addr[104];  /* unix:... */
    int             port;
    pid_t           pid;
    redisContext   *c;
} test_redis_t;


static inline int
test_port(void)
{
    int                 fd;
    socklen_t           len;
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(sin);

    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &sin, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &sin, &len), 0);
    close(fd);

    return ntohs(sin.sin_port);
}


static inline redisReply *
test_cmd(test_redis_t *t, const char *fmt, ...)
{
    va_list      args;
    redisReply  *reply;

    va_start(args, fmt);
    reply = redisvCommand(t->c, fmt, args);
    va_end(args);

    assert_non_null(reply);

    return reply;
}


/* The answer as a number, a string's too. */
static inline long long
test_num(test_redis_t *t, const char *fmt, ...)
{
    va_list      args;
    long long    n;
    redisReply  *reply;

    va_start(args, fmt);
    reply = redisvCommand(t->c, fmt, args);
    va_end(args);

    assert_non_null(reply);

    n = reply->type == REDIS_REPLY_INTEGER ? reply->integer
        : reply->type == REDIS_REPLY_ARRAY ? (long long) reply->elements
        : reply->str != NULL ? strtoll(reply->str, NULL, 10) : -1;

    freeReplyObject(reply);

    return n;
}


static inline void
test_do(test_redis_t *t, const char *fmt, ...)
{
    va_list      args;
    redisReply  *reply;

    va_start(args, fmt);
    reply = redisvCommand(t->c, fmt, args);
    va_end(args);

    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}


static inline void
test_redis_look(test_redis_t *t)
{
    int64_t      end;
    redisReply  *reply;

    if (t->c != NULL) {
        redisFree(t->c);
        t->c = NULL;
    }

    for (end = svc_now() + TEST_BOUND; svc_now() < end; usleep(5000)) {

        t->c = redisConnectUnix(t->sock);

        if (t->c != NULL && t->c->err == 0) {
            reply = redisCommand(t->c, "PING");

            if (reply != NULL && reply->type == REDIS_REPLY_STATUS) {
                freeReplyObject(reply);
                return;
            }

            if (reply != NULL) {
                freeReplyObject(reply);
            }
        }

        if (t->c != NULL) {
            redisFree(t->c);
            t->c = NULL;
        }
    }

    fail_msg("redis-server does not answer");
}


static inline void
test_redis_spawn(test_redis_t *t)
{
    int   fd;
    char  port[8];

    snprintf(port, sizeof(port), "%d", t->port);
    fflush(NULL);

    t->pid = fork();
    assert_int_not_equal(t->pid, -1);

    if (t->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fd = open("/dev/null", O_RDWR);
        dup2(fd, 0);
        dup2(fd, 1);
        execlp("redis-server", "redis-server", "--bind", "127.0.0.1",
               "--port", port, "--unixsocket", t->sock, "--dir", t->dir,
               "--appendonly", "yes", "--appendfsync", "always",
               "--save", "", "--logfile", "redis.log",
               "--shutdown-timeout", "1", (char *) NULL);
        _exit(127);
    }

    test_redis_look(t);
}


static inline void
test_redis_start(test_redis_t *t)
{
    memset(t, 0, sizeof(*t));

    strcpy(t->dir, "/tmp/goim-test-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->sock, sizeof(t->sock), "%s/sock", t->dir);
    snprintf(t->addr, sizeof(t->addr), "unix:%s", t->sock);
    t->port = test_port();

    test_redis_spawn(t);
}


static inline void
test_redis_kill(test_redis_t *t, int sig)
{
    if (t->pid == 0) {
        return;
    }

    kill(t->pid, sig);
    kill(t->pid, SIGCONT);
    waitpid(t->pid, NULL, 0);
    t->pid = 0;

    if (t->c != NULL) {
        redisFree(t->c);
        t->c = NULL;
    }
}


static inline void
test_redis_end(test_redis_t *t)
{
    char  cmd[128];

    test_redis_kill(t, SIGKILL);

    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", t->dir);

    if (system(cmd) != 0) {
        fail_msg("%s is left", t->dir);
    }
}


/* ---- the loop ---- */

typedef int (*test_cond_pt)(void *data);


static inline int
test_until(struct event_base *base, test_cond_pt cond, void *data,
    int64_t bound)
{
    int64_t         end;
    struct timeval  tv = { 0, 2000 };

    for (end = svc_now() + bound; !cond(data); /* void */ ) {

        if (svc_now() > end) {
            return 0;
        }

        event_base_loopexit(base, &tv);
        event_base_dispatch(base);
    }

    return 1;
}


static inline void
test_wait(struct event_base *base, test_cond_pt cond, void *data)
{
    if (!test_until(base, cond, data, TEST_BOUND)) {
        fail_msg("has not happened");
    }
}


static inline int
test_never(void *data)
{
    (void) data;

    return 0;
}


/* Let the loop run for some time. */
static inline void
test_run(struct event_base *base, int64_t ms)
{
    test_until(base, test_never, NULL, ms);
}


static inline int
test_redis_up(void *data)
{
    return svc_redis_is_up(data);
}


static inline void
test_redis_conf(svc_redis_conf_t *conf, const char *addr)
{
    memset(conf, 0, sizeof(*conf));
    conf->addr = (char *) addr;
    conf->user = (char *) "";
    conf->password = (char *) "";
    conf->prefix = (char *) "p:";
    conf->timeout = 1000;
}


/* A redis-server, and a connection to it that is up. */
static inline svc_redis_t *
test_redis_open(test_redis_t *t, struct event_base *base,
    svc_redis_conf_t *conf, const svc_redis_events_t *events)
{
    svc_redis_t  *r;

    test_redis_start(t);
    test_redis_conf(conf, t->addr);
    r = svc_redis_new(base, conf, events);
    test_wait(base, test_redis_up, r);

    return r;
}


static inline void
test_redis_close(test_redis_t *t, struct event_base *base, svc_redis_t *r)
{
    svc_redis_free(r);
    event_base_free(base);
    test_redis_end(t);
}

#endif
