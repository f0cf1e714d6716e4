/*
 * One server with two listeners, on TCP and on a unix socket, each with routes
 * of its own; what a handler may ask; answers that come later; draining.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "svc/http.h"
#include "svc/listen.h"

#define WAIT  10000                     /* ms, at most */


static struct event_base  *base;
static http_server_t      *server;
static http_request_t     *held;        /* to be answered later */
static uint16_t            port;
static char                dir[] = "/tmp/goim-http-XXXXXX";
static char                path[64];


/* Says what it was asked, and by whom. */

static void
on_echo(http_request_t *req, void *data)
{
    int          n;
    char        *text;
    size_t       len;
    unsigned     at;
    const char  *body, *name, *one, *two;

    at = 0;
    name = http_header(req, "x-NAME");
    one = http_header_next(req, "X-List", &at);
    two = http_header_next(req, "X-List", &at);
    body = http_body(req, &len);

    text = http_alloc(req, 4000);
    assert_non_null(text);

    n = snprintf(text, 4000, "%s %d %s ?%s %s %s+%s [%.*s] %s",
                 (char *) data, (int) http_method(req), http_path(req),
                 http_query(req), name != NULL ? name : "-",
                 one != NULL ? one : "-", two != NULL ? two : "-",
                 (int) len, body, http_peer(req));

    assert_null(http_header_next(req, "X-List", &at));

    http_answer(req, 200, "text/plain", text, (size_t) n);
}


static void
on_hold(http_request_t *req, void *data)
{
    (void) data;

    assert_null(held);
    held = req;
}


static void
on_other(http_request_t *req, void *data)
{
    http_answer(req, 404, "text/plain", data, strlen(data));
}


static const http_route_t  open_routes[] = {
    { HTTP_GET, "/echo", on_echo },
    { HTTP_GET, "/hold", on_hold },
    { 0, NULL, on_other }
};

static const http_route_t  inner_routes[] = {
    { HTTP_POST, "/echo", on_echo },
    { HTTP_DELETE, "/echo", on_echo },
    { 0, NULL, on_other }
};


static int
setup(void **state)
{
    int          fd;
    char         err[256], addr[80];
    http_conf_t  conf;

    (void) state;

    memset(&conf, 0, sizeof(conf));
    conf.max_head = 4096;
    conf.max_body = 4096;
    conf.max_connections = 10;
    conf.timeout = 60000;
    conf.keepalive = 60000;

    base = event_base_new();
    server = http_server_new(base, &conf);

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/sock", dir);
    snprintf(addr, sizeof(addr), "unix:%s", path);

    fd = svc_listen(addr, 0, err, sizeof(err));
    assert_int_not_equal(fd, -1);
    assert_int_equal(http_server_listen(server, fd, inner_routes, "inner"),
                     0);

    /* somebody listens there: it is not taken away */

    assert_int_equal(svc_listen(addr, 0, err, sizeof(err)), -1);

    for (port = 20000; port < 60000; port++) {
        snprintf(addr, sizeof(addr), "127.0.0.1:%u", port);
        fd = svc_listen(addr, 0, err, sizeof(err));

        if (fd != -1) {
            break;
        }
    }

    assert_int_equal(http_server_listen(server, fd, open_routes, "open"), 0);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    http_server_free(server);
    event_base_free(base);
    unlink(path);
    rmdir(dir);

    return 0;
}


static int
client(int inner)
{
    int                 fd;
    struct sockaddr_in  sin;
    struct sockaddr_un  sun;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);

    fd = socket(inner ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_not_equal(fd, -1);

    (void) connect(fd, inner ? (struct sockaddr *) &sun
                             : (struct sockaddr *) &sin,
                   inner ? sizeof(sun) : sizeof(sin));

    return fd;
}


static void
turn(void)
{
    event_base_loop(base, EVLOOP_NONBLOCK);
    usleep(1000);
}


/* What comes, until it ends with `end` (NULL: until it is closed). */

static const char *
read_until(int fd, const char *end)
{
    int      i;
    size_t   n, len;
    ssize_t  got;

    static char  buf[65536];

    n = 0;
    len = end != NULL ? strlen(end) : 0;

    for (i = 0; i < WAIT; i++) {
        turn();
        got = recv(fd, buf + n, sizeof(buf) - n - 1, 0);

        if (got > 0) {
            n += (size_t) got;
        }

        buf[n] = '\0';

        if ((end == NULL && got == 0)
            || (end != NULL && n >= len && strcmp(buf + n - len, end) == 0))
        {
            return buf;
        }
    }

    fail_msg("waited for %s, came: %s", end != NULL ? end : "the end", buf);

    return NULL;
}


static void
ask(int fd, const char *text)
{
    int      i;
    ssize_t  n;

    for (i = 0; i < WAIT; i++) {
        n = send(fd, text, strlen(text), MSG_NOSIGNAL);

        if (n == (ssize_t) strlen(text)) {
            return;
        }

        turn();
    }

    fail();
}


static void
listeners(void **state)
{
    int  out, in;

    (void) state;

    out = client(0);
    in = client(1);

    ask(out, "GET /echo?a=b&c HTTP/1.1\r\nHost: x\r\nX-Name:  n \r\n"
             "x-list: 1\r\nX-LIST: 2\r\n\r\n");
    read_until(out, "open 0 /echo ?a=b&c n 1+2 [] 127.0.0.1");

    ask(in, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
    read_until(in, "inner 2 /echo ? - -+- [body] ");

    ask(in, "DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(in, "inner 4 /echo ? - -+- [] ");

    /* one's routes are not the other's */

    ask(out, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    read_until(out, "\r\n\r\nopen");
    ask(in, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(in, "\r\n\r\ninner");
    ask(in, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(in, "\r\n\r\ninner");

    close(out);
    close(in);
}


static void
hold(int fd)
{
    int  i;

    held = NULL;
    ask(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");

    for (i = 0; i < WAIT && held == NULL; i++) {
        turn();
    }

    assert_non_null(held);
    assert_int_equal(http_server_handling(server), 1);
}


static void
release(void)
{
    http_request_t  *req;

    req = held;
    held = NULL;
    http_answer(req, 200, "text/plain", "late", 4);
    assert_int_equal(http_server_handling(server), 0);
}


static void
later(void **state)
{
    int  fd, i;

    (void) state;

    fd = client(0);
    hold(fd);

    /* a second one waits behind it */

    for (i = 0; i < 20; i++) {
        turn();
    }

    assert_int_equal(http_server_handling(server), 1);
    release();
    assert_non_null(strstr(read_until(fd, "[] 127.0.0.1"), "late"));

    /* one that has gone is noticed when it is answered */

    hold(fd);
    close(fd);

    for (i = 0; i < 20; i++) {
        turn();
    }

    assert_int_equal(http_server_handling(server), 1);
    release();
}


static void
drain(void **state)
{
    int          fd, idle;
    const char  *text;

    (void) state;

    idle = client(0);
    ask(idle, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(idle, "[] 127.0.0.1");

    fd = client(0);
    hold(fd);
    http_server_drain(server);
    release();

    /* it ends with its answer, and what stands behind that is nobody's */

    text = read_until(fd, NULL);
    assert_non_null(strstr(text, "Connection: close"));
    assert_non_null(strstr(text, "late"));
    assert_null(strstr(text, "echo"));

    /* one that was there may ask for the last time */

    ask(idle, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(read_until(idle, NULL), "Connection: close"));

    close(fd);
    close(idle);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners),
        cmocka_unit_test(later),
        cmocka_unit_test(drain),
    };

    return cmocka_run_group_tests_name("http_server", tests, setup,
                                       teardown);
}
