/*
 * TLS of the services (svc/tls.c) against OpenSSL's other side, over a way that
 * passes as few bytes as it likes, holds them up, or ends.
 */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "svc/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>


#define TLS_TEST_LONG   (1024 * 1024)


static char  dir[] = "/tmp/goim-tls-test.XXXXXX";
static char  cert[64], key[64];
static char  data[TLS_TEST_LONG], got[TLS_TEST_LONG], moved[TLS_TEST_LONG];


static svc_tls_conf_t   conf;
static svc_tls_t       *tls;


typedef struct {
    svc_tls_conn_t  *client;
    SSL_CTX         *ctx;
    SSL             *server;
    int              way[4];    /* client - its end, server's end - server */
    char             why[256];
} fixture_t;


static int
make_files(void **state)
{
    char  command[512], err[256];

    (void) state;

    assert_non_null(mkdtemp(dir));
    snprintf(cert, sizeof(cert), "%s/cert", dir);
    snprintf(key, sizeof(key), "%s/key", dir);
    snprintf(command, sizeof(command), "openssl req -x509 -newkey ec "
             "-pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=a -addext subjectAltName=DNS:redis.test "
             "-keyout %s -out %s 2>/dev/null", key, cert);
    assert_int_equal(system(command), 0);

    signal(SIGPIPE, SIG_IGN);

    conf.on = 1;
    conf.ca_file = cert;
    conf.cert_file = (char *) "";
    conf.key_file = (char *) "";

    tls = svc_tls_new("redis", &conf, err, sizeof(err));
    assert_non_null(tls);

    return 0;
}


static int
remove_files(void **state)
{
    (void) state;

    unlink(cert);
    unlink(key);
    rmdir(dir);

    return 0;
}


/* A way between the two, each end of which takes a few thousand bytes. */
static void
open_way(int way[4])
{
    int  i, size;

    size = 4096;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, way), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, way + 2), 0);

    for (i = 0; i < 4; i++) {
        fcntl(way[i], F_SETFL, O_NONBLOCK);
        setsockopt(way[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    }
}


/* At most n bytes from one end to the other; how many. */
static ssize_t
pass(int from, int to, size_t n)
{
    char     buf[4096];
    ssize_t  len;

    len = recv(from, buf, n < sizeof(buf) ? n : sizeof(buf), MSG_PEEK);

    if (len <= 0) {
        return 0;
    }

    len = send(to, buf, (size_t) len, 0);

    return len > 0 ? recv(from, buf, (size_t) len, 0) : 0;
}


static void
pass_both(fixture_t *f, size_t n)
{
    pass(f->way[1], f->way[2], n);
    pass(f->way[2], f->way[1], n);
}


/* Both sides have shaken hands, by n bytes at a time. */
static void
connect_by(fixture_t *f, size_t n)
{
    int  i, rc, accepted;

    rc = 0;
    accepted = 0;

    for (i = 0; i < 100000 && (rc != 1 || !accepted); i++) {

        if (rc != 1) {
            rc = svc_tls_handshake(f->client, f->why, sizeof(f->why));
            assert_true(rc == 1 || rc == SVC_TLS_READ
                        || rc == SVC_TLS_WRITE);
        }

        accepted = accepted || SSL_accept(f->server) == 1;
        pass_both(f, n);
    }

    assert_int_equal(rc, 1);
    assert_true(accepted);
}


static void
start(fixture_t *f, const char *name, int version)
{
    memset(f, 0, sizeof(fixture_t));

    conf.server_name = (char *) name;

    f->ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_file(f->ctx, cert,
                                                  SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(f->ctx, key,
                                                 SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_max_proto_version(f->ctx, version);
    SSL_CTX_set_mode(f->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                             | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    open_way(f->way);

    f->client = svc_tls_open(tls, f->way[0], "127.0.0.1");
    f->server = SSL_new(f->ctx);
    SSL_set_fd(f->server, f->way[3]);
}


static void
end(fixture_t *f)
{
    int  i;

    svc_tls_close(f->client);
    SSL_free(f->server);
    SSL_CTX_free(f->ctx);

    for (i = 0; i < 4; i++) {
        close(f->way[i]);
    }

    ERR_clear_error();
}


static void
fill(void)
{
    size_t  i;

    for (i = 0; i < sizeof(data); i++) {
        data[i] = (char) (i * 7 + i / 251);
    }

    memset(got, 0, sizeof(got));
}


/* From client to server, from other memory each time, by n bytes a step. */
static void
send_all(fixture_t *f, size_t total, size_t n)
{
    int      rc;
    char    *from;
    size_t   sent, came, offer, some;
    ssize_t  len;

    fill();
    sent = 0;
    came = 0;
    offer = 1;

    while (came < total) {

        if (sent < total) {

            /* what is tried again has moved, and more has come behind it */

            some = offer < total - sent ? offer : total - sent;
            from = (offer & 1) ? data : moved;
            memcpy(moved + sent, data + sent, some);

            len = svc_tls_send(f->client, from + sent, some, f->why,
                               sizeof(f->why));

            if (len > 0) {
                sent += (size_t) len;
                offer = offer % 20000 + 1;

            } else {
                assert_true(len == SVC_TLS_READ || len == SVC_TLS_WRITE);
                offer++;
            }
        }

        pass_both(f, n);
        rc = SSL_read(f->server, got + came, (int) (total - came));

        if (rc > 0) {
            came += (size_t) rc;
        }
    }

    assert_memory_equal(got, data, total);
}


/* The same the other way. */
static void
receive_all(fixture_t *f, size_t total, size_t n)
{
    int      rc;
    size_t   sent, came;
    ssize_t  len;

    fill();
    sent = 0;
    came = 0;

    while (came < total) {

        if (sent < total) {
            rc = SSL_write(f->server, data + sent, (int) (total - sent));
            sent += rc > 0 ? (size_t) rc : 0;
        }

        pass_both(f, n);

        len = svc_tls_recv(f->client, got + came, total - came, f->why,
                           sizeof(f->why));

        if (len > 0) {
            came += (size_t) len;

        } else {
            assert_true(len == SVC_TLS_READ || len == SVC_TLS_WRITE);
        }
    }

    assert_memory_equal(got, data, total);
}


static void
test_pieces(void **state)
{
    size_t     i;
    fixture_t  f;

    static const size_t  pieces[] = { 1, 3, 17, 1000, 4096 };

    (void) state;

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        start(&f, "redis.test", i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
        connect_by(&f, pieces[i]);
        send_all(&f, i < 3 ? 2000 : TLS_TEST_LONG / 4, pieces[i]);
        receive_all(&f, i < 3 ? 20000 : TLS_TEST_LONG, pieces[i]);
        end(&f);
    }
}


/* Other keys, asked for while nothing can be written. */
static void
test_new_keys(void **state)
{
    int        i;
    ssize_t    len;
    fixture_t  f;

    (void) state;

    start(&f, "redis.test", TLS1_3_VERSION);
    connect_by(&f, 4096);
    fill();

    /* until the way to the server is full */

    do {
        len = svc_tls_send(f.client, data, SVC_TLS_RECORD, f.why,
                           sizeof(f.why));
    } while (len > 0);

    assert_int_equal(len, SVC_TLS_WRITE);

    assert_int_equal(SSL_key_update(f.server, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(f.server, "hello", 5), 5);

    /* what was begun goes on first, and nothing of it is lost */

    for (i = 0; i < 1000; i++) {
        pass(f.way[2], f.way[1], 4096);
        len = svc_tls_recv(f.client, got, 5, f.why, sizeof(f.why));

        if (len > 0) {
            break;
        }

        assert_true(len == SVC_TLS_READ || len == SVC_TLS_WRITE);

        if (i > 10) {
            pass(f.way[1], f.way[2], 4096);
            SSL_read(f.server, moved, sizeof(moved));
        }
    }

    assert_int_equal(len, 5);
    assert_memory_equal(got, "hello", 5);

    do {
        len = svc_tls_send(f.client, data, SVC_TLS_RECORD, f.why,
                           sizeof(f.why));
        pass_both(&f, 4096);
        SSL_read(f.server, moved, sizeof(moved));
        assert_true(len > 0 || len == SVC_TLS_WRITE);
    } while (len <= 0);

    do {
        pass_both(&f, 4096);
    } while (SSL_read(f.server, moved, sizeof(moved)) > 0
             || SSL_pending(f.server) > 0);

    for (i = 0; i < 100; i++) {
        pass_both(&f, 4096);
        SSL_read(f.server, moved, sizeof(moved));
    }

    send_all(&f, 100000, 4096);
    receive_all(&f, 100000, 4096);
    end(&f);
}


/* A server that wants another handshake does not get one. */
static void
test_renegotiation(void **state)
{
    int        i, reason;
    fixture_t  f;

    (void) state;

    start(&f, "redis.test", TLS1_2_VERSION);
    connect_by(&f, 4096);

    assert_int_equal(SSL_renegotiate(f.server), 1);
    assert_int_equal(SSL_do_handshake(f.server), 1);
    reason = 0;

    for (i = 0; i < 100; i++) {
        SSL_read(f.server, moved, 1);
        reason = ERR_GET_REASON(ERR_peek_error());

        if (reason != 0) {
            break;
        }

        pass_both(&f, 4096);

        assert_int_equal(svc_tls_recv(f.client, got, 1, f.why,
                                      sizeof(f.why)), SVC_TLS_READ);
    }

    assert_int_equal(reason, SSL_R_NO_RENEGOTIATION);
    end(&f);
}


static void
test_ends(void **state)
{
    int        i;
    ssize_t    len;
    fixture_t  f;

    (void) state;

    /* with a word, without one, and while shaking hands */

    for (i = 0; i < 3; i++) {
        start(&f, "redis.test", TLS1_3_VERSION);

        if (i < 2) {
            connect_by(&f, 4096);
        }

        if (i == 0) {
            SSL_shutdown(f.server);
            pass_both(&f, 4096);

        } else {
            close(f.way[1]);
            f.way[1] = -1;
        }

        len = i < 2 ? svc_tls_recv(f.client, got, 1, f.why, sizeof(f.why))
                    : svc_tls_handshake(f.client, f.why, sizeof(f.why));

        if (len == SVC_TLS_READ) {
            pass_both(&f, 4096);
            len = i < 2 ? svc_tls_recv(f.client, got, 1, f.why,
                                       sizeof(f.why))
                        : svc_tls_handshake(f.client, f.why, sizeof(f.why));
        }

        if (i < 2) {
            assert_int_equal(len, SVC_TLS_END);
            assert_string_equal(f.why, "closed by the peer");

        } else {
            assert_true(len == SVC_TLS_END || len == SVC_TLS_ERROR);
        }

        end(&f);
    }
}


static void
test_refused(void **state)
{
    int        i, rc;
    fixture_t  f;

    (void) state;

    /* another name; no TLS at all */

    for (i = 0; i < 2; i++) {
        start(&f, i == 0 ? "other.test" : "redis.test", TLS1_3_VERSION);

        do {
            rc = svc_tls_handshake(f.client, f.why, sizeof(f.why));

            if (i == 0) {
                SSL_accept(f.server);
                pass_both(&f, 4096);

            } else {
                assert_int_equal(send(f.way[1], "-ERR what\r\n", 11, 0), 11);
            }

        } while (rc == SVC_TLS_READ || rc == SVC_TLS_WRITE);

        assert_int_equal(rc, SVC_TLS_ERROR);
        assert_string_equal(f.why, i == 0
            ? "TLS: its certificate is not for \"other.test\""
            : "the other side does not speak TLS");
        end(&f);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_new_keys),
        cmocka_unit_test(test_renegotiation),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
