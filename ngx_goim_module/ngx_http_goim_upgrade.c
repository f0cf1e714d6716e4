
/*
 * What the application is told of the upgrade request: cookies, query, and
 * some headers, as far as nginx has accepted them.
 */


#include "ngx_http_goim.h"


/* of all of it: a call to logic has at most 1 MB; nginx's default is 32 KB */

static size_t ngx_http_goim_upgrade_len(ngx_http_request_t *r);
static u_char *ngx_http_goim_upgrade_cookies(ngx_http_request_t *r,
    ngx_goim_upgrade_t *up, u_char *p);
static u_char *ngx_http_goim_upgrade_headers(ngx_http_request_t *r,
    ngx_goim_upgrade_t *up, u_char *p);
static ngx_table_elt_t *ngx_http_goim_next_header(ngx_list_part_t **part,
    ngx_uint_t *i, ngx_uint_t *which);


/* in lower case, and as they are told */

static const struct {
    ngx_str_t    key;
    const char  *name;
} ngx_http_goim_wanted[] = {
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
    ngx_goim_upgrade_t        *up;
    ngx_http_goim_loc_conf_t  *glcf;

    *upgrade = NULL;
    len = ngx_http_goim_upgrade_len(r);

    if (len == 0) {
        return NGX_OK;
    }

    up = ngx_alloc(sizeof(ngx_goim_upgrade_t) + len, r->connection->log);
    if (up == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(up, sizeof(ngx_goim_upgrade_t));

    p = (u_char *) up + sizeof(ngx_goim_upgrade_t);
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
    return ngx_http_goim_upgrade_len(r) <= GOIM_UPGRADE_MAX;
}


static size_t
ngx_http_goim_upgrade_len(ngx_http_request_t *r)
{
    size_t            len;
    ngx_uint_t        i, which;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    i = 0;
    part = &r->headers_in.headers.part;
    len = r->args.len;

    while ((h = ngx_http_goim_next_header(&part, &i, &which)) != NULL) {
        len += h->value.len + 2;
    }

    return len;
}


/* Browsers send one; several are joined as HTTP/2 would have them. */

static u_char *
ngx_http_goim_upgrade_cookies(ngx_http_request_t *r, ngx_goim_upgrade_t *up,
    u_char *p)
{
    ngx_uint_t        i, which;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    i = 0;
    part = &r->headers_in.headers.part;
    up->cookie.data = p;

    while ((h = ngx_http_goim_next_header(&part, &i, &which)) != NULL) {

        if (ngx_http_goim_wanted[which].name != NULL || h->value.len == 0) {
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
    ngx_uint_t        i, n, which;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    i = 0;
    n = 0;
    part = &r->headers_in.headers.part;

    while (n < GOIM_HEADERS_MAX
           && (h = ngx_http_goim_next_header(&part, &i, &which)) != NULL)
    {
        if (ngx_http_goim_wanted[which].name == NULL) {
            continue;
        }

        up->headers[n].name = ngx_http_goim_wanted[which].name;
        up->headers[n].value.data = p;
        up->headers[n].value.len = h->value.len;

        p = ngx_cpymem(p, h->value.data, h->value.len);
        n++;
    }

    up->nheaders = n;

    return p;
}


/* the next one that is wanted */

static ngx_table_elt_t *
ngx_http_goim_next_header(ngx_list_part_t **part, ngx_uint_t *i,
    ngx_uint_t *which)
{
    ngx_uint_t        n;
    ngx_table_elt_t  *h;

    for ( ;; ) {

        if (*i >= (*part)->nelts) {
            if ((*part)->next == NULL) {
                return NULL;
            }

            *part = (*part)->next;
            *i = 0;
            continue;
        }

        h = (ngx_table_elt_t *) (*part)->elts + (*i)++;

        for (n = 0; n < sizeof(ngx_http_goim_wanted)
                        / sizeof(ngx_http_goim_wanted[0]); n++)
        {
            if (h->key.len == ngx_http_goim_wanted[n].key.len
                && ngx_strncmp(h->lowcase_key,
                               ngx_http_goim_wanted[n].key.data, h->key.len)
                   == 0)
            {
                *which = n;
                return h;
            }
        }
    }
}
