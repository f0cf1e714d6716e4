
/*
 * Values of directives.
 */


#include "ngx_goim_value.h"


static char *ngx_goim_conf_range(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_int_t n);


char *
ngx_goim_conf_msec(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t   *value;
    ngx_msec_t  *field;

    field = (ngx_msec_t *) ((u_char *) conf + cmd->offset);

    if (*field != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;
    *field = ngx_parse_time(&value[1], 0);

    return ngx_goim_conf_range(cf, cmd, (ngx_int_t) *field);
}


char *
ngx_goim_conf_size(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    size_t     *field;
    ngx_str_t  *value;

    field = (size_t *) ((u_char *) conf + cmd->offset);

    if (*field != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    *field = ngx_parse_size(&value[1]);

    return ngx_goim_conf_range(cf, cmd, (ngx_int_t) *field);
}


char *
ngx_goim_conf_num(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t   *value;
    ngx_uint_t  *field;

    field = (ngx_uint_t *) ((u_char *) conf + cmd->offset);

    if (*field != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;
    *field = ngx_atoi(value[1].data, value[1].len);

    return ngx_goim_conf_range(cf, cmd, (ngx_int_t) *field);
}


static char *
ngx_goim_conf_range(ngx_conf_t *cf, ngx_command_t *cmd, ngx_int_t n)
{
    ngx_str_t              *value;
    ngx_goim_conf_range_t  *range;

    value = cf->args->elts;
    range = cmd->post;

    /* NGX_ERROR lies below any of them */

    if (n < range->min || n > range->max) {
        return ngx_goim_conf_invalid(cf, &value[1]);
    }

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_goim_conf_param(ngx_str_t *value, const char *name, ngx_str_t *out)
{
    size_t  len;

    len = ngx_strlen(name);

    if (value->len < len || ngx_strncmp(value->data, name, len) != 0) {
        return 0;
    }

    out->data = value->data + len;
    out->len = value->len - len;

    return 1;
}


char *
ngx_goim_conf_invalid(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_str_t  *name;

    name = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\" in \"%V\"",
                       value, name);

    return NGX_CONF_ERROR;
}
