/*
 * TLS to a server.
 */

#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>


struct svc_tls_s {
    const svc_tls_conf_t  *conf;
    const char            *section;
    pthread_mutex_t        lock;
    SSL_CTX               *ctx;         /* under it */
};


struct svc_tls_conn_s {
    SSL         *ssl;
    const char  *name;      /* that is verified */
    int          broken;    /* nothing can be said any more */
};


/* ---- files ---- */

/* The innermost reason is what a person can use. */
static const char *
svc_tls_reason(void)
{
    const char     *text;
    unsigned long   code;

    code = ERR_peek_error();

    if (ERR_SYSTEM_ERROR(code)) {
        return strerror(ERR_GET_REASON(code));
    }

    text = ERR_reason_error_string(code);

    return text != NULL ? text : "unknown error";
}


/* OpenSSL does not say well what hinders opening. */
static int
svc_tls_readable(const svc_tls_t *tls, const char *name, const char *path,
    char *err, size_t size)
{
    FILE  *f;

    f = fopen(path, "re");

    if (f == NULL) {
        snprintf(err, size, "[%s] %s = \"%.128s\" cannot be read: %s",
                 tls->section, name, path, strerror(errno));
        return -1;
    }

    fclose(f);

    return 0;
}


/* Nobody is there to be asked for the password of a key. */
static int
svc_tls_password(char *buf, int size, int rwflag, void *data)
{
    (void) buf;
    (void) size;
    (void) rwflag;
    (void) data;

    return -1;
}


static int
svc_tls_trust(const svc_tls_t *tls, SSL_CTX *ctx, char *err, size_t size)
{
    const char  *path;

    path = tls->conf->ca_file;

    if (path[0] == '\0') {
        if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
            snprintf(err, size, "[%s] tls: the system's CAs: %s",
                     tls->section, svc_tls_reason());
            return -1;
        }

        return 0;
    }

    if (svc_tls_readable(tls, "ca_file", path, err, size) != 0) {
        return -1;
    }

    if (SSL_CTX_load_verify_file(ctx, path) != 1) {
        snprintf(err, size, "[%s] ca_file = \"%.128s\" holds no certificate: "
                 "%s", tls->section, path, svc_tls_reason());
        return -1;
    }

    return 0;
}


static int
svc_tls_identity(const svc_tls_t *tls, SSL_CTX *ctx, char *err, size_t size)
{
    const char  *cert, *key;

    cert = tls->conf->cert_file;
    key = tls->conf->key_file;

    if (cert[0] == '\0') {
        return 0;
    }

    if (svc_tls_readable(tls, "cert_file", cert, err, size) != 0
        || svc_tls_readable(tls, "key_file", key, err, size) != 0)
    {
        return -1;
    }

    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        snprintf(err, size, "[%s] cert_file = \"%.128s\" holds no "
                 "certificate: %s", tls->section, cert, svc_tls_reason());
        return -1;
    }

    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1) {
        return 0;
    }

    if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH
        || ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_TYPE_MISMATCH)
    {
        snprintf(err, size, "[%s] key_file = \"%.128s\" is not the key of "
                 "cert_file", tls->section, key);

    } else {
        snprintf(err, size, "[%s] key_file = \"%.128s\" holds no key without "
                 "a password: %s", tls->section, key, svc_tls_reason());
    }

    return -1;
}


static SSL_CTX *
svc_tls_context(const svc_tls_t *tls, char *err, size_t size)
{
    SSL_CTX  *ctx;

    ERR_clear_error();

    ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) {
        abort();
    }

    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(ctx, svc_tls_password);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);

    /* what is written again may have moved, and got longer */

    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                          | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                          | SSL_MODE_RELEASE_BUFFERS);

    if (svc_tls_trust(tls, ctx, err, size) != 0
        || svc_tls_identity(tls, ctx, err, size) != 0)
    {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }

    ERR_clear_error();

    return ctx;
}


svc_tls_t *
svc_tls_new(const char *section, const svc_tls_conf_t *conf, char *err,
    size_t size)
{
    svc_tls_t  *tls;

    tls = calloc(1, sizeof(svc_tls_t));
    if (tls == NULL) {
        abort();
    }

    tls->conf = conf;
    tls->section = section;
    pthread_mutex_init(&tls->lock, NULL);

    tls->ctx = svc_tls_context(tls, err, size);

    if (tls->ctx == NULL) {
        free(tls);
        return NULL;
    }

    return tls;
}


int
svc_tls_reload(svc_tls_t *tls, char *err, size_t size)
{
    SSL_CTX  *ctx, *before;

    ctx = svc_tls_context(tls, err, size);

    if (ctx == NULL) {
        return -1;
    }

    pthread_mutex_lock(&tls->lock);

    before = tls->ctx;
    tls->ctx = ctx;

    pthread_mutex_unlock(&tls->lock);

    SSL_CTX_free(before);

    return 0;
}


/* ---- a connection ---- */

/* Whose certificate it has to be; a server is told a name, not an address. */
static int
svc_tls_expect(svc_tls_conn_t *c)
{
    unsigned char       addr[sizeof(struct in6_addr)];
    X509_VERIFY_PARAM  *param;

    param = SSL_get0_param(c->ssl);
    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

    if (inet_pton(AF_INET, c->name, addr) == 1) {
        return X509_VERIFY_PARAM_set1_ip(param, addr, 4);
    }

    if (inet_pton(AF_INET6, c->name, addr) == 1) {
        return X509_VERIFY_PARAM_set1_ip(param, addr, 16);
    }

    return X509_VERIFY_PARAM_set1_host(param, c->name, 0) == 1
           && SSL_set_tlsext_host_name(c->ssl, c->name) == 1;
}


svc_tls_conn_t *
svc_tls_open(svc_tls_t *tls, int fd, const char *host)
{
    svc_tls_conn_t  *c;

    c = calloc(1, sizeof(svc_tls_conn_t));
    if (c == NULL) {
        abort();
    }

    c->name = tls->conf->server_name[0] != '\0' ? tls->conf->server_name
                                                : host;

    pthread_mutex_lock(&tls->lock);
    c->ssl = SSL_new(tls->ctx);
    pthread_mutex_unlock(&tls->lock);

    if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1
        || svc_tls_expect(c) != 1)
    {
        abort();
    }

    SSL_set_connect_state(c->ssl);

    return c;
}


void
svc_tls_close(svc_tls_conn_t *c)
{
    if (!c->broken && SSL_is_init_finished(c->ssl)) {
        ERR_clear_error();
        SSL_shutdown(c->ssl);
        ERR_clear_error();
    }

    SSL_free(c->ssl);
    free(c);
}


/* Why it cannot go on. */
static void
svc_tls_why(svc_tls_conn_t *c, char *why, size_t size)
{
    long  verify;

    verify = SSL_get_verify_result(c->ssl);

    if (verify == X509_V_ERR_HOSTNAME_MISMATCH
        || verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
    {
        snprintf(why, size, "TLS: its certificate is not for \"%.128s\"",
                 c->name);

    } else if (verify != X509_V_OK) {
        snprintf(why, size, "TLS: its certificate is refused: %s",
                 X509_verify_cert_error_string(verify));

    } else if (ERR_GET_REASON(ERR_peek_last_error())
               == SSL_R_WRONG_VERSION_NUMBER)
    {
        snprintf(why, size, "the other side does not speak TLS");

    } else {
        snprintf(why, size, "TLS: %s", svc_tls_reason());
    }
}


/* What SSL_get_error() says of a call that is not done. */
static int
svc_tls_result(svc_tls_conn_t *c, int rc, int error, char *why, size_t size)
{
    switch (SSL_get_error(c->ssl, rc)) {

    case SSL_ERROR_WANT_READ:
        return SVC_TLS_READ;

    case SSL_ERROR_WANT_WRITE:
        return SVC_TLS_WRITE;

    case SSL_ERROR_ZERO_RETURN:
        snprintf(why, size, "closed by the peer");
        return SVC_TLS_END;

    case SSL_ERROR_SYSCALL:
        c->broken = 1;

        if (error == 0) {
            snprintf(why, size, "closed by the peer");
            return SVC_TLS_END;
        }

        snprintf(why, size, "%s", strerror(error));
        break;

    default:
        c->broken = 1;

        if (ERR_GET_REASON(ERR_peek_last_error())
            == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        {
            snprintf(why, size, "closed by the peer");
            ERR_clear_error();
            return SVC_TLS_END;
        }

        svc_tls_why(c, why, size);
    }

    ERR_clear_error();

    return SVC_TLS_ERROR;
}


int
svc_tls_handshake(svc_tls_conn_t *c, char *why, size_t size)
{
    int  rc;

    ERR_clear_error();
    errno = 0;

    rc = SSL_do_handshake(c->ssl);

    return rc == 1 ? 1 : svc_tls_result(c, rc, errno, why, size);
}


ssize_t
svc_tls_recv(svc_tls_conn_t *c, void *buf, size_t n, char *why, size_t size)
{
    int     rc;
    size_t  got;

    ERR_clear_error();
    errno = 0;

    rc = SSL_read_ex(c->ssl, buf, n, &got);

    return rc == 1 ? (ssize_t) got : svc_tls_result(c, rc, errno, why, size);
}


ssize_t
svc_tls_send(svc_tls_conn_t *c, const void *buf, size_t n, char *why,
    size_t size)
{
    int     rc;
    size_t  sent;

    ERR_clear_error();
    errno = 0;

    rc = SSL_write_ex(c->ssl, buf, n, &sent);

    return rc == 1 ? (ssize_t) sent : svc_tls_result(c, rc, errno, why, size);
}
