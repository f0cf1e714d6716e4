
/*
 * Which pages may connect: goim_origin, against the Origin of the upgrade
 * request (RFC 6454, section 7; RFC 6455, section 10.2).
 *
 * Browsers send it with every upgrade, and a page cannot change it. What sends
 * none is no browser, and could claim anything.
 */


#include "ngx_http_goim.h"


typedef enum {
    NGX_HTTP_GOIM_ORIGIN_SAME,
    NGX_HTTP_GOIM_ORIGIN_WHOLE,         /* https://example.com:8443 */
    NGX_HTTP_GOIM_ORIGIN_NAME,          /* a host */
    NGX_HTTP_GOIM_ORIGIN_BELOW          /* *.example.com: value is ".example…" */
} ngx_http_goim_origin_e;

typedef struct {
    ngx_http_goim_origin_e   kind;
    ngx_str_t                value;
} ngx_http_goim_origin_t;


static ngx_uint_t ngx_http_goim_origin_is(ngx_http_request_t *r,
    const ngx_http_goim_origin_t *o, const ngx_str_t *origin);
static ngx_uint_t ngx_http_goim_origin_same(ngx_http_request_t *r,
    const ngx_str_t *place);
static void ngx_http_goim_origin_place(const ngx_str_t *origin,
    ngx_str_t *place);
static ngx_uint_t ngx_http_goim_origin_good(ngx_str_t *value);


ngx_uint_t
ngx_http_goim_origin_allowed(ngx_http_request_t *r, ngx_array_t *origins,
    const ngx_str_t *origin)
{
    ngx_uint_t               i;
    ngx_http_goim_origin_t  *o;

    if (origins == NULL || origins->nelts == 0 || origin->data == NULL) {
        return 1;
    }

    o = origins->elts;

    for (i = 0; i < origins->nelts; i++) {
        if (ngx_http_goim_origin_is(r, &o[i], origin)) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_goim_origin_is(ngx_http_request_t *r,
    const ngx_http_goim_origin_t *o, const ngx_str_t *origin)
{
    u_char     *end;
    ngx_str_t   host;

    if (o->kind == NGX_HTTP_GOIM_ORIGIN_WHOLE) {
        return o->value.len == origin->len
               && ngx_strncasecmp(o->value.data, origin->data, origin->len)
                  == 0;
    }

    ngx_http_goim_origin_place(origin, &host);

    if (o->kind == NGX_HTTP_GOIM_ORIGIN_SAME) {
        return ngx_http_goim_origin_same(r, &host);
    }

    /* an address of IPv6 stands in brackets, with colons of its own */

    end = host.data + host.len;

    while (end > host.data && end[-1] >= '0' && end[-1] <= '9') {
        end--;
    }

    if (end > host.data && end[-1] == ':') {
        host.len = end - 1 - host.data;
    }

    if (o->kind == NGX_HTTP_GOIM_ORIGIN_BELOW) {

        if (host.len <= o->value.len) {
            return 0;
        }

        host.data += host.len - o->value.len;
        host.len = o->value.len;
    }

    return host.len == o->value.len
           && ngx_strncasecmp(host.data, o->value.data, host.len) == 0;
}


/* A browser leaves out a scheme's own port in both of them. */

static ngx_uint_t
ngx_http_goim_origin_same(ngx_http_request_t *r, const ngx_str_t *place)
{
    ngx_str_t  *host;

    if (r->headers_in.host == NULL) {
        return 0;
    }

    host = &r->headers_in.host->value;

    return place->len && host->len == place->len
           && ngx_strncasecmp(host->data, place->data, place->len) == 0;
}


/* host and port; empty when it is no scheme://host ("null") */

static void
ngx_http_goim_origin_place(const ngx_str_t *origin, ngx_str_t *place)
{
    u_char  *p;

    p = ngx_strnstr(origin->data, "://", origin->len);

    if (p == NULL) {
        ngx_str_null(place);
        return;
    }

    place->data = p + 3;
    place->len = origin->data + origin->len - place->data;

    /* a path, or a name before the host: no browser says that */

    for (p = place->data; p < place->data + place->len; p++) {
        if (*p == '/' || *p == '?' || *p == '#' || *p == '@') {
            ngx_str_null(place);
            return;
        }
    }
}


/* goim_origin any | (same | NAME | *.NAME | SCHEME://HOST[:PORT]) ...; */

char *
ngx_http_goim_set_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_goim_loc_conf_t  *glcf = conf;

    ngx_str_t               *value;
    ngx_uint_t               i;
    ngx_http_goim_origin_t  *o;

    if (glcf->origins) {
        return "is duplicate";
    }

    glcf->origins = ngx_array_create(cf->pool, cf->args->nelts,
                                     sizeof(ngx_http_goim_origin_t));
    if (glcf->origins == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "any") == 0) {
        return NGX_CONF_OK;                 /* none: all */
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (!ngx_http_goim_origin_good(&value[i])) {
            return ngx_goim_conf_invalid(cf, NULL, &value[i],
                       "\"any\" alone, \"same\", a name, \"*.\" and a name, "
                       "or scheme://host[:port]");
        }

        o = ngx_array_push(glcf->origins);
        if (o == NULL) {
            return NGX_CONF_ERROR;
        }

        o->value = value[i];

        if (ngx_strcmp(value[i].data, "same") == 0) {
            o->kind = NGX_HTTP_GOIM_ORIGIN_SAME;

        } else if (ngx_strstr(value[i].data, "://")) {
            o->kind = NGX_HTTP_GOIM_ORIGIN_WHOLE;

        } else if (value[i].data[0] == '*') {
            o->kind = NGX_HTTP_GOIM_ORIGIN_BELOW;
            o->value.data++;
            o->value.len--;

        } else {
            o->kind = NGX_HTTP_GOIM_ORIGIN_NAME;
        }
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_goim_origin_good(ngx_str_t *value)
{
    u_char  *p;
    size_t   len;

    p = value->data;
    len = value->len;

    if (ngx_strcmp(p, "any") == 0) {
        return 0;
    }

    if (ngx_strstr(p, "://")) {
        p = (u_char *) ngx_strstr(p, "://") + 3;
        return p > value->data + 3 && p[strcspn((char *) p, "/*?#@ ")] == '\0'
               && *p != '\0';
    }

    if (len > 2 && p[0] == '*' && p[1] == '.') {
        p += 2;
    }

    /* a name with a port would match nothing: a port needs its scheme */

    return *p != '\0'
           && (p[0] == '[' || p[strcspn((char *) p, "/*?#@: ")] == '\0');
}
