
/*
 * goim_subprotocol: what of a client's Sec-WebSocket-Protocol is agreed on (RFC
 * 6455, sections 1.9 and 4.2.2).  A client that offers something and gets no
 * answer fails by itself, as browsers do.
 */


#include "ngx_http_goim.h"


/* case counts in names */

const ngx_str_t *
ngx_http_goim_subprotocol(ngx_array_t *names, const ngx_str_t *offered)
{
    ngx_str_t    list, item, *name;
    ngx_uint_t   i;

    if (names == NULL) {
        return NULL;
    }

    list = *offered;
    name = names->elts;

    while (ngx_http_goim_next_token(&list, &item)) {

        for (i = 0; i < names->nelts; i++) {
            if (name[i].len == item.len
                && ngx_memcmp(name[i].data, item.data, item.len) == 0)
            {
                return &name[i];
            }
        }
    }

    return NULL;
}


char *
ngx_http_goim_set_subprotocol(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_goim_loc_conf_t  *glcf = conf;

    ngx_str_t   *value, *name;
    ngx_uint_t   i;

    if (glcf->subprotocols) {
        return "is duplicate";
    }

    glcf->subprotocols = ngx_array_create(cf->pool, cf->args->nelts,
                                          sizeof(ngx_str_t));
    if (glcf->subprotocols == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (!ngx_http_goim_token(&value[i])) {
            return ngx_goim_conf_invalid(cf, NULL, &value[i],
                                         "a token of RFC 7230");
        }

        name = ngx_array_push(glcf->subprotocols);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[i];
    }

    return NGX_CONF_OK;
}


/* RFC 7230, section 3.2.6 */

ngx_uint_t
ngx_http_goim_token(const ngx_str_t *value)
{
    u_char  c;
    size_t  i;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c)) {
            return 0;
        }
    }

    return value->len > 0;
}
