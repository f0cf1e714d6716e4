/*
 * TLS to a server, by OpenSSL: TLS 1.2 or newer, its certificate always
 * verified, name and all. A context belongs to the process, any thread makes
 * connections with it; a connection belongs to one thread.
 */

#ifndef SVC_TLS_H
#define SVC_TLS_H

#include <stddef.h>
#include <sys/types.h>

#define SVC_TLS_RECORD  16384       /* the most that one record holds */
#define SVC_TLS_NAME    255         /* the longest server_name, or host */

typedef struct {
    int    on;
    char  *ca_file;         /* of who may vouch; "": the system's */
    char  *cert_file;       /* shown to who asks; "": none */
    char  *key_file;        /* of that */
    char  *server_name;     /* "": the host of the address */
} svc_tls_conf_t;

typedef struct svc_tls_s       svc_tls_t;
typedef struct svc_tls_conn_s  svc_tls_conn_t;

/* `conf` stays the caller's, and stays. NULL: `err` begins with the key of
 * `section` that is wrong. */
svc_tls_t *svc_tls_new(const char *section, const svc_tls_conf_t *conf,
    char *err, size_t size);

/* Reads the files again, for connections made from then on. -1 with a
 * message: what was read before stays. From any thread. */
int svc_tls_reload(svc_tls_t *tls, char *err, size_t size);

/* Over a connected socket that does not block and stays the caller's; `host`
 * is verified where no server_name is set. */
svc_tls_conn_t *svc_tls_open(svc_tls_t *tls, int fd, const char *host);

/* Says goodbye, if the socket takes it at once. */
void svc_tls_close(svc_tls_conn_t *c);

/*
 * More than 0: done, so many bytes. SVC_TLS_READ, SVC_TLS_WRITE: again, with
 * the same bytes or more behind them, when the socket can be read or written,
 * whatever was asked for. SVC_TLS_END: the other one closed it, SVC_TLS_ERROR:
 * it cannot go on; why is said with both.
 */
enum {
    SVC_TLS_ERROR = 0, SVC_TLS_END = -1, SVC_TLS_READ = -2, SVC_TLS_WRITE = -3
};

int svc_tls_handshake(svc_tls_conn_t *c, char *why, size_t size);
ssize_t svc_tls_recv(svc_tls_conn_t *c, void *buf, size_t n, char *why,
    size_t size);
ssize_t svc_tls_send(svc_tls_conn_t *c, const void *buf, size_t n, char *why,
    size_t size);

#endif
