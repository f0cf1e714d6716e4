/*
 * The socket of the connection to Redis: what is written, what is read, with
 * TLS or without.
 */

#include "redis_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>


#define SVC_REDIS_READ  65536


/* What may be wrong when it says nothing at all. */
static const char *
svc_redis_hint(svc_redis_t *r)
{
    if (r->state != SVC_REDIS_GREETING || r->heard != 0) {
        return "";
    }

    return r->tls != NULL ? " before its first word: does it want a "
                            "certificate?"
                          : " before its first word: does this port want TLS?";
}


/* ---- out ---- */

/* So many bytes more have been sent. */
static void
svc_redis_sent(svc_redis_t *r, size_t n)
{
    r->sent += n;
    r->moved = svc_now();

    while (r->unsent != NULL && r->unsent->end <= r->sent) {
        r->unsent->sent = r->moved;
        r->unsent = r->unsent->next;
    }
}


/* Bytes that went; 0: later, an event is set for it; -1: never, see why. */
static ssize_t
svc_redis_write(svc_redis_t *r, char *why, size_t size)
{
    ssize_t  n;

    do {
        n = evbuffer_write(r->out, r->fd);
    } while (n == -1 && errno == EINTR);

    if (n > 0) {
        return n;
    }

    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        event_add(r->write, NULL);
        return 0;
    }

    snprintf(why, size, "write: %s%s", strerror(errno), svc_redis_hint(r));

    return -1;
}


/* The same, a record of TLS at a time. */
static ssize_t
svc_redis_write_tls(svc_redis_t *r, char *why, size_t size)
{
    char     text[256], last[64];
    size_t   len;
    ssize_t  n;
    u_char  *data;

    len = evbuffer_get_length(r->out);

    if (len > SVC_TLS_RECORD) {
        len = SVC_TLS_RECORD;
    }

    data = evbuffer_pullup(r->out, (ev_ssize_t) len);
    if (data == NULL) {
        abort();
    }

    n = svc_tls_send(r->tls, data, len, text, sizeof(text));

    if (n > 0) {
        evbuffer_drain(r->out, (size_t) n);
        return n;
    }

    switch (n) {

    case SVC_TLS_WRITE:
        event_add(r->write, NULL);
        return 0;

    case SVC_TLS_READ:
        r->tls_write = 1;
        return 0;
    }

    /* it may have said why before it hung up */

    svc_tls_recv(r->tls, last, sizeof(last), text, sizeof(text));
    snprintf(why, size, "write: %s%s", text, svc_redis_hint(r));

    return -1;
}


/* 0, or -1 when the connection was closed. */
static int
svc_redis_flush(svc_redis_t *r)
{
    char     why[320];
    ssize_t  n;

    while (evbuffer_get_length(r->out) > 0) {

        n = r->tls != NULL ? svc_redis_write_tls(r, why, sizeof(why))
                           : svc_redis_write(r, why, sizeof(why));

        if (n == 0) {
            return 0;
        }

        if (n == -1) {
            svc_redis_close(r, why);
            return -1;
        }

        svc_redis_sent(r, (size_t) n);
    }

    return 0;
}


void
svc_redis_on_flush(evutil_socket_t fd, short what, void *data)
{
    svc_redis_t  *r;

    (void) fd;
    (void) what;

    r = data;

    if (r->fd != -1 && !event_pending(r->write, EV_WRITE, NULL)) {
        svc_redis_flush(r);
    }
}


/* ---- it comes up ---- */

static void
svc_redis_secure(svc_redis_t *r)
{
    char  why[256];

    switch (svc_tls_handshake(r->tls, why, sizeof(why))) {

    case SVC_TLS_READ:
        return;

    case SVC_TLS_WRITE:
        event_add(r->write, NULL);
        return;

    case SVC_TLS_END:
        svc_redis_close(r, "closed in the handshake of TLS");
        return;

    case SVC_TLS_ERROR:
        svc_redis_close(r, why);
        return;
    }

    svc_redis_greet(r);
}


static void
svc_redis_connected(svc_redis_t *r)
{
    int        error;
    char       why[128];
    socklen_t  len;

    len = sizeof(error);

    if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1) {
        error = errno;
    }

    if (error != 0) {
        snprintf(why, sizeof(why), "connect: %s", strerror(error));
        svc_redis_close(r, why);
        return;
    }

    if (r->conf.secure == NULL) {
        svc_redis_greet(r);
        return;
    }

    r->state = SVC_REDIS_SECURING;
    r->tls = svc_tls_open(r->conf.secure, r->fd, r->host);

    svc_redis_secure(r);
}


void
svc_redis_on_write(evutil_socket_t fd, short what, void *data)
{
    svc_redis_t  *r;

    r = data;

    switch (r->state) {

    case SVC_REDIS_CONNECTING:
        svc_redis_connected(r);
        return;

    case SVC_REDIS_SECURING:
        svc_redis_secure(r);
        return;

    default:
        break;
    }

    if (svc_redis_flush(r) == 0 && r->tls_read) {
        svc_redis_on_read(fd, what, data);
    }
}


/* ---- in ---- */

static pthread_once_t              svc_redis_once = PTHREAD_ONCE_INIT;
static redisReplyObjectFunctions  *svc_redis_hiredis;
static redisReplyObjectFunctions   svc_redis_functions;


static void *
svc_redis_array(const redisReadTask *task, int n)
{
    return n > SVC_REDIS_ARRAY ? NULL
                               : svc_redis_hiredis->createArray(task, n);
}


static void
svc_redis_reader_init(void)
{
    redisReader  *reader;

    reader = redisReaderCreate();
    if (reader == NULL) {
        abort();
    }

    svc_redis_hiredis = reader->fn;
    svc_redis_functions = *reader->fn;
    svc_redis_functions.createArray = svc_redis_array;

    redisReaderFree(reader);
}


redisReader *
svc_redis_reader(void)
{
    redisReader  *reader;

    pthread_once(&svc_redis_once, svc_redis_reader_init);

    reader = redisReaderCreate();
    if (reader == NULL) {
        abort();
    }

    reader->fn = &svc_redis_functions;

    return reader;
}


/* What hiredis says. */
static void
svc_redis_unread(svc_redis_t *r, char *why, size_t size)
{
    if (r->reader->err == REDIS_ERR_OOM) {
        snprintf(why, size, "no memory for an answer, or it has an array of "
                 "more than %d elements", SVC_REDIS_ARRAY);
        return;
    }

    snprintf(why, size, "read: %s", r->reader->errstr);
}


/* -1: the connection cannot go on, `why` says why. */
static int
svc_redis_parse(svc_redis_t *r, const char *data, size_t len, char *why,
    size_t size)
{
    int    rc;
    void  *reply;

    r->part += len;
    r->heard = svc_now();

    if (r->part > SVC_REDIS_REPLY_MAX) {
        snprintf(why, size, "an answer of more than %d bytes",
                 SVC_REDIS_REPLY_MAX);
        return -1;
    }

    if (redisReaderFeed(r->reader, data, len) != REDIS_OK) {
        svc_redis_unread(r, why, size);
        return -1;
    }

    for ( ;; ) {

        if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
            svc_redis_unread(r, why, size);
            return -1;
        }

        if (reply == NULL) {
            return 0;
        }

        /* what came behind it is at most a read's bytes of the next one */

        r->part = r->reader->len - r->reader->pos;

        rc = svc_redis_answer(r, reply);

        if (rc != 0) {
            snprintf(why, size, "unasked answer: %.64s",
                     ((redisReply *) reply)->type == REDIS_REPLY_ERROR
                     ? ((redisReply *) reply)->str : "not an error");
        }

        freeReplyObject(reply);

        if (rc != 0) {
            return -1;
        }
    }
}


/* Bytes that came; 0: none now; -1: none any more, see why. */
static ssize_t
svc_redis_recv(svc_redis_t *r, char *buf, size_t n, char *why, size_t size)
{
    ssize_t  got;

    got = recv(r->fd, buf, n, 0);

    if (got > 0) {
        return got;
    }

    if (got == -1 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }

    snprintf(why, size, "read: %s%s",
             got == 0 ? "closed by Redis" : strerror(errno),
             svc_redis_hint(r));

    return -1;
}


static ssize_t
svc_redis_recv_tls(svc_redis_t *r, char *buf, size_t n, char *why,
    size_t size)
{
    char     text[256];
    ssize_t  got;

    r->tls_read = 0;

    got = svc_tls_recv(r->tls, buf, n, text, sizeof(text));

    if (got > 0) {
        return got;
    }

    switch (got) {

    case SVC_TLS_READ:
        return 0;

    case SVC_TLS_WRITE:
        r->tls_read = 1;
        event_add(r->write, NULL);
        return 0;

    }

    snprintf(why, size, "read: %s%s", text, svc_redis_hint(r));

    return -1;
}


void
svc_redis_on_read(evutil_socket_t fd, short what, void *data)
{
    char          why[320];
    ssize_t       n;
    svc_redis_t  *r;

    static __thread char  buf[SVC_REDIS_READ];

    (void) fd;
    (void) what;

    r = data;

    /* a record of TLS fits in: nothing is left of it that no event tells of */

    switch (r->state) {

    case SVC_REDIS_CONNECTING:
        return;                 /* the event for writing comes too */

    case SVC_REDIS_SECURING:
        svc_redis_secure(r);
        return;

    default:
        n = r->tls != NULL
            ? svc_redis_recv_tls(r, buf, sizeof(buf), why, sizeof(why))
            : svc_redis_recv(r, buf, sizeof(buf), why, sizeof(why));
    }

    if (n > 0
        && svc_redis_parse(r, buf, (size_t) n, why, sizeof(why)) != 0)
    {
        n = -1;
    }

    if (n == -1) {
        svc_redis_close(r, why);
        return;
    }

    if (r->tls_write) {
        r->tls_write = 0;
        svc_redis_flush(r);
    }
}
