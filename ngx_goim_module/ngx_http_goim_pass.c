
/*
 * goim_pass: which more headers of the upgrade the application is told.
 */


#include "ngx_http_goim.h"

#include "../common/goim_header.h"


static const char *ngx_http_goim_pass_wrong(ngx_http_goim_loc_conf_t *glcf,
    const ngx_str_t *value);


char *
ngx_http_goim_set_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_goim_loc_conf_t  *glcf = conf;

    ngx_str_t               *value;
    ngx_uint_t               i;
    const char              *wrong;
    ngx_http_goim_header_t  *header;

    if (glcf->pass) {
        return "is duplicate";
    }

    glcf->pass = ngx_array_create(cf->pool, cf->args->nelts,
                                  sizeof(ngx_http_goim_header_t));
    if (glcf->pass == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        wrong = ngx_http_goim_pass_wrong(glcf, &value[i]);

        if (wrong != NULL) {
            return ngx_goim_conf_invalid(cf, NULL, &value[i], wrong);
        }

        header = ngx_array_push(glcf->pass);
        if (header == NULL) {
            return NGX_CONF_ERROR;
        }

        header->name = (const char *) value[i].data;
        header->key.len = value[i].len;
        header->key.data = ngx_pnalloc(cf->pool, value[i].len);

        if (header->key.data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_strlow(header->key.data, value[i].data, value[i].len);
    }

    return NGX_CONF_OK;
}


/* What it should be; NULL: it is. */

static const char *
ngx_http_goim_pass_wrong(ngx_http_goim_loc_conf_t *glcf,
    const ngx_str_t *value)
{
    if (glcf->pass->nelts == GOIM_PASS_MAX) {
        return "at most 16 names";
    }

    if (!goim_header_passes((char *) value->data, value->len)) {
        return "names of headers, of at most 64 bytes, that are not about "
               "the connection, the body or cookies";
    }

    if (ngx_http_goim_header_find(glcf->pass, value) != NULL) {
        return "each name once, and none that [auth] pass of logic is for";
    }

    return NULL;
}
