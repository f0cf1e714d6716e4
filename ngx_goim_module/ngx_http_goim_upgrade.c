
/*
 * What the application is told of the upgrade request: cookies, query, and
 * some headers, as far as nginx has accepted them.
 */


#include "ngx_http_goim.h"


typedef struct {
    ngx_list_part_t   *part;
    ngx_uint_t         i;
    ngx_array_t       *pass;
} ngx_http_goim_headers_t;


static size_t ngx_http_goim_upgrade_len(ngx_http_request_t *r, ngx_uint_t *n);
static u_char *ngx_http_goim_upgrade_cookies(ngx_http_request_t *r,
    ngx_goim_upgrade_t *up, u_char *p);
static u_char *ngx_http_goim_upgrade_headers(ngx_http_request_t *r,
    ngx_goim_upgrade_t *up, u_char *p);
static void ngx_http_goim_headers_begin(ngx_http_request_t *r,
    ngx_http_goim_headers_t *it);
static ngx_table_elt_t *ngx_http_goim_headers_next(ngx_http_goim_headers_t *it,
    const char **name);


/* by every location */

static const ngx_http_goim_header_t  ngx_http_goim_always[] = {
    { ngx_string("cookie"), NULL },
    { ngx_string("origin"), "Origin" },
    { ngx_string("user-agent"), "User-Agent" },
    { ngx_string("authorization"), "Authorization" },
    { ngx_string("x-request-id"), "X-Request-Id" }
};


ngx_int_t
ngx_http_goim_upgrade(ngx_http_request_t *r, ngx_goim_upgrade_t **upgrade)
{
    u_char                    *p;
    size_t                     len;
    ngx_uint_t                 n;
    ngx_goim_upgrade_t        *up;
    ngx_http_goim_loc_conf_t  *glcf;

    *upgrade = NULL;
    len = ngx_http_goim_upgrade_len(r, &n);

    if (len == 0) {
        return NGX_OK;
    }

    len += sizeof(ngx_goim_upgrade_t) + n * sizeof(ngx_goim_header_t);

    up = ngx_alloc(len, r->connection->log);
    if (up == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(up, sizeof(ngx_goim_upgrade_t));

    p = (u_char *) &up->headers[n];
    p = ngx_http_goim_upgrade_cookies(r, up, p);
    p = ngx_http_goim_upgrade_headers(r, up, p);

    glcf = ngx_http_get_module_loc_conf(r, ngx_http_goim_module);

    if (glcf->cookie.len) {
        up->cookie_name = (const char *) glcf->cookie.data;
    }

    if (r->args.len) {
        up->query.data = p;
        up->query.len = r->args.len;
        ngx_memcpy(p, r->args.data, r->args.len);
    }

    *upgrade = up;

    return NGX_OK;
}


ngx_uint_t
ngx_http_goim_upgrade_fits(ngx_http_request_t *r)
{
    ngx_uint_t  n;

    return ngx_http_goim_upgrade_len(r, &n) <= GOIM_UPGRADE_MAX
           && n <= GOIM_HEADERS_MAX;
}


/* Of query and values; n: of headers, beside cookies. */

static size_t
ngx_http_goim_upgrade_len(ngx_http_request_t *r, ngx_uint_t *n)
{
    size_t                    len;
    const char               *name;
    ngx_table_elt_t          *h;
    ngx_http_goim_headers_t   it;

    *n = 0;
    len = r->args.len;
    ngx_http_goim_headers_begin(r, &it);

    while ((h = ngx_http_goim_headers_next(&it, &name)) != NULL) {
        len += h->value.len + 2;
        *n += name != NULL;
    }

    return len;
}


/* Browsers send one; several are joined as HTTP/2 would have them. */

static u_char *
ngx_http_goim_upgrade_cookies(ngx_http_request_t *r, ngx_goim_upgrade_t *up,
    u_char *p)
{
    const char               *name;
    ngx_table_elt_t          *h;
    ngx_http_goim_headers_t   it;

    up->cookie.data = p;
    ngx_http_goim_headers_begin(r, &it);

    while ((h = ngx_http_goim_headers_next(&it, &name)) != NULL) {

        if (name != NULL || h->value.len == 0) {
            continue;
        }

        if (p > up->cookie.data) {
            *p++ = ';';
            *p++ = ' ';
        }

        p = ngx_cpymem(p, h->value.data, h->value.len);
    }

    up->cookie.len = p - up->cookie.data;

    return p;
}


static u_char *
ngx_http_goim_upgrade_headers(ngx_http_request_t *r, ngx_goim_upgrade_t *up,
    u_char *p)
{
    const char               *name;
    ngx_table_elt_t          *h;
    ngx_goim_header_t        *header;
    ngx_http_goim_headers_t   it;

    ngx_http_goim_headers_begin(r, &it);

    while ((h = ngx_http_goim_headers_next(&it, &name)) != NULL) {

        if (name == NULL) {
            continue;
        }

        header = &up->headers[up->nheaders++];
        header->name = name;
        header->value.data = p;
        header->value.len = h->value.len;

        p = ngx_cpymem(p, h->value.data, h->value.len);
    }

    return p;
}


static void
ngx_http_goim_headers_begin(ngx_http_request_t *r, ngx_http_goim_headers_t *it)
{
    ngx_http_goim_loc_conf_t  *glcf;

    glcf = ngx_http_get_module_loc_conf(r, ngx_http_goim_module);

    it->part = &r->headers_in.headers.part;
    it->i = 0;
    it->pass = glcf->pass;
}


/* The next one that is passed on, and its name; NULL: there is none. */

static ngx_table_elt_t *
ngx_http_goim_headers_next(ngx_http_goim_headers_t *it, const char **name)
{
    ngx_table_elt_t               *h;
    const ngx_http_goim_header_t  *header;

    for ( ;; ) {

        if (it->i >= it->part->nelts) {
            if (it->part->next == NULL) {
                return NULL;
            }

            it->part = it->part->next;
            it->i = 0;
            continue;
        }

        h = (ngx_table_elt_t *) it->part->elts + it->i++;
        header = ngx_http_goim_header_find(it->pass, &h->key);

        if (header != NULL) {
            *name = header->name;
            return h;
        }
    }
}


const ngx_http_goim_header_t *
ngx_http_goim_header_find(ngx_array_t *pass, const ngx_str_t *name)
{
    ngx_uint_t                     i, n, always;
    const ngx_http_goim_header_t  *header;

    always = sizeof(ngx_http_goim_always) / sizeof(ngx_http_goim_always[0]);
    n = always + (pass != NULL ? pass->nelts : 0);

    for (i = 0; i < n; i++) {

        header = i < always ? &ngx_http_goim_always[i]
                 : (ngx_http_goim_header_t *) pass->elts + (i - always);

        if (header->key.len == name->len
            && ngx_strncasecmp(header->key.data, name->data, name->len) == 0)
        {
            return header;
        }
    }

    return NULL;
}
