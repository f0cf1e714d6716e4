/*
 * The HTTP server: answers going out.
 */

#include "http_int.h"

#include "clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define HTTP_HEAD_MAX    512
#define HTTP_FIELDS_MAX  512


static const char *
http_reason(int status)
{
    switch (status) {

    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default:  return status < 500 ? "Error" : "Internal Server Error";
    }
}


static const char *
http_date(http_server_t *s)
{
    time_t     now;
    struct tm  tm;

    now = time(NULL);

    if (now != s->date_at) {
        s->date_at = now;
        gmtime_r(&now, &tm);
        strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }

    return s->date;
}


static char *
http_put(char *p, const char *text)
{
    return stpcpy(p, text);
}


static char *
http_put_number(char *p, size_t n)
{
    char   digits[24];
    char  *d;

    d = digits + sizeof(digits);

    do {
        *--d = (char) ('0' + n % 10);
        n /= 10;
    } while (n > 0);

    memcpy(p, d, (size_t) (digits + sizeof(digits) - d));

    return p + (digits + sizeof(digits) - d);
}


void
http_add_header(http_request_t *c, const char *name, const char *value)
{
    int     n;
    size_t  left;

    if (c->fields == NULL) {
        c->fields = svc_pool_alloc(&c->pool, HTTP_FIELDS_MAX);

        if (c->fields == NULL) {
            return;
        }
    }

    left = HTTP_FIELDS_MAX - c->fields_len;
    n = snprintf(c->fields + c->fields_len, left, "\r\n%s: %s", name, value);

    if (n > 0 && (size_t) n < left) {
        c->fields_len += (size_t) n;
    }
}


static size_t
http_answer_head(http_request_t *c, char *buf, int status, const char *type,
    size_t len)
{
    char  *p;

    p = http_put(buf, c->head.old ? "HTTP/1.0 " : "HTTP/1.1 ");
    p = http_put_number(p, (size_t) status);
    *p++ = ' ';
    p = http_put(p, http_reason(status));
    p = http_put(p, "\r\nContent-Type: ");
    p = http_put(p, type);
    p = http_put(p, "\r\nContent-Length: ");
    p = http_put_number(p, len);
    p = http_put(p, "\r\nDate: ");
    p = http_put(p, http_date(c->server));

    if (c->fields_len > 0) {
        memcpy(p, c->fields, c->fields_len);
        p += c->fields_len;
    }

    if (!c->keep) {
        p = http_put(p, "\r\nConnection: close");

    } else if (c->head.old) {
        p = http_put(p, "\r\nConnection: keep-alive");
    }

    p = http_put(p, "\r\n\r\n");

    return (size_t) (p - buf);
}


/* What the socket did not take waits for it. */

static void
http_later(http_request_t *c, const struct iovec *iov, int n, size_t sent)
{
    int     i;
    size_t  skip;

    c->out_at = 0;
    c->out_len = 0;

    for (i = 0; i < n; i++) {
        c->out_len += iov[i].iov_len;
    }

    c->out_len -= sent;
    c->out = malloc(c->out_len);

    if (c->out == NULL || event_add(&c->write, NULL) != 0) {
        http_close(c);
        return;
    }

    c->out_len = 0;

    for (i = 0; i < n; i++) {
        skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
        sent -= skip;

        if (iov[i].iov_len > skip) {
            memcpy(c->out + c->out_len, (char *) iov[i].iov_base + skip,
                   iov[i].iov_len - skip);
            c->out_len += iov[i].iov_len - skip;
        }
    }

    http_state(c, HTTP_IN_SEND);
}


void
http_answer(http_request_t *c, int status, const char *type,
    const void *body, size_t len)
{
    int             n;
    char            head[HTTP_HEAD_MAX + HTTP_FIELDS_MAX];
    size_t          all;
    ssize_t         sent;
    struct iovec    iov[2];
    struct msghdr   msg;
    http_server_t  *s;

    s = c->server;

    if (s->draining) {
        c->keep = 0;
    }

    if (s->conf.answered != NULL) {
        metrics_add(s->conf.answered, 1);
    }

    if (status >= 400 && s->conf.errors != NULL) {
        metrics_add(s->conf.errors, 1);
    }

    iov[0].iov_base = head;
    iov[0].iov_len = http_answer_head(c, head, status, type, len);
    iov[1].iov_base = (void *) body;
    iov[1].iov_len = len;

    n = len == 0 || (c->head.started && c->head.method == HTTP_HEAD) ? 1 : 2;
    all = iov[0].iov_len + (n == 2 ? len : 0);

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = iov;
    msg.msg_iovlen = (size_t) n;

    sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL);

    if (sent == -1 && errno != EAGAIN && errno != EINTR) {
        http_close(c);
        return;
    }

    if (sent == (ssize_t) all) {
        http_sent(c);
        return;
    }

    http_later(c, iov, n, sent == -1 ? 0 : (size_t) sent);
}


void
http_write(evutil_socket_t fd, short what, void *data)
{
    http_request_t  *c = data;

    ssize_t  n;

    (void) what;

    n = send(fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);

    if (n == -1) {

        if (errno != EAGAIN && errno != EINTR) {
            http_close(c);
        }

        return;
    }

    c->out_at += (size_t) n;

    if (c->out_at < c->out_len) {
        http_state(c, HTTP_IN_SEND);
        return;
    }

    event_del(&c->write);
    free(c->out);
    c->out = NULL;

    http_sent(c);
}


void
http_refuse(http_request_t *c, int status, const char *reason)
{
    int   n;
    char  text[128];

    c->keep = 0;
    c->linger = 1;

    n = snprintf(text, sizeof(text), "%s\n", reason);

    http_answer(c, status, "text/plain", text, (size_t) n);
}


/*
 * A socket that does not take these few bytes has not been read for long: its
 * client gets the answer without them.
 */

void
http_continue(http_request_t *c)
{
    static const char  line[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (send(c->fd, line, sizeof(line) - 1, MSG_NOSIGNAL)
        != (ssize_t) sizeof(line) - 1)
    {
        c->keep = 0;
        shutdown(c->fd, SHUT_RDWR);
    }
}
