/*
 * The HTTP server: what a handler may ask of a request.
 */

#include "http_int.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>


http_method_t
http_method(const http_request_t *req)
{
    return req->head.method;
}


const char *
http_path(const http_request_t *req)
{
    return req->buf + req->start + req->head.path.at;
}


char *
http_query(http_request_t *req)
{
    static char  none[1];

    return req->head.query.at > 0
           ? req->buf + req->start + req->head.query.at : none;
}


const char *
http_header_next(const http_request_t *req, const char *name, unsigned *at)
{
    const char          *p;
    const http_field_t  *f;

    p = req->buf + req->start;

    while (*at < req->head.nfields) {
        f = &req->head.fields[(*at)++];

        if (strcasecmp(p + f->name.at, name) == 0) {
            return p + f->value.at;
        }
    }

    return NULL;
}


const char *
http_header(const http_request_t *req, const char *name)
{
    unsigned  at;

    at = 0;

    return http_header_next(req, name, &at);
}


const char *
http_body(http_request_t *req, size_t *len)
{
    *len = req->body;

    return req->buf + req->start + req->head.end;
}


const char *
http_peer(http_request_t *req)
{
    socklen_t                len;
    const void              *addr;
    struct sockaddr_storage  ss;

    len = sizeof(ss);

    if (req->peer[0] != '\0'
        || getpeername(req->fd, (struct sockaddr *) &ss, &len) != 0
        || (ss.ss_family != AF_INET && ss.ss_family != AF_INET6))
    {
        return req->peer;
    }

    addr = ss.ss_family == AF_INET
           ? (const void *) &((struct sockaddr_in *) &ss)->sin_addr
           : (const void *) &((struct sockaddr_in6 *) &ss)->sin6_addr;

    if (inet_ntop(ss.ss_family, addr, req->peer, sizeof(req->peer)) == NULL) {
        req->peer[0] = '\0';
    }

    return req->peer;
}


void *
http_alloc(http_request_t *req, size_t n)
{
    return svc_pool_alloc(&req->pool, n);
}
