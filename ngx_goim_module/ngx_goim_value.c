
/*
 * Values of directives.
 */


#include "ngx_goim_value.h"

#include "common/goim_hint.h"
#include "common/goim_limits.h"


#define NGX_GOIM_CONF_TEXT  256


typedef char *(*ngx_goim_conf_unit_pt)(char *text, int64_t n);


static char *ngx_goim_conf_range(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_int_t n, const char *what, ngx_goim_conf_unit_pt unit);
static char *ngx_goim_conf_plain(char *text, int64_t n);
static char *ngx_goim_conf_unknown(ngx_conf_t *cf,
    const ngx_goim_conf_param_t *params, ngx_str_t *value);
static ngx_int_t ngx_goim_conf_copy(ngx_conf_t *cf, ngx_str_t *to,
    u_char *data, size_t len);


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

    return ngx_goim_conf_range(cf, cmd, (ngx_int_t) *field, "a time",
                               goim_hint_time);
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

    return ngx_goim_conf_range(cf, cmd, (ngx_int_t) *field, "a size",
                               goim_hint_size);
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

    return ngx_goim_conf_range(cf, cmd, (ngx_int_t) *field, "a number",
                               ngx_goim_conf_plain);
}


static char *
ngx_goim_conf_range(ngx_conf_t *cf, ngx_command_t *cmd, ngx_int_t n,
    const char *what, ngx_goim_conf_unit_pt unit)
{
    char                    min[GOIM_HINT_NUMBER], max[GOIM_HINT_NUMBER];
    u_char                  text[NGX_GOIM_CONF_TEXT];
    ngx_str_t              *value;
    ngx_goim_conf_range_t  *range;

    value = cf->args->elts;
    range = cmd->post;

    /* NGX_ERROR lies below any of them */

    if (n < range->min || n > range->max) {
        ngx_snprintf(text, sizeof(text), "%s from %s to %s%Z", what,
                     unit(min, range->min), unit(max, range->max));

        return ngx_goim_conf_invalid(cf, NULL, &value[1],
                                     (const char *) text);
    }

    return NGX_CONF_OK;
}


static char *
ngx_goim_conf_plain(char *text, int64_t n)
{
    ngx_snprintf((u_char *) text, GOIM_HINT_NUMBER, "%L%Z", n);

    return text;
}


char *
ngx_goim_conf_params(ngx_conf_t *cf, ngx_uint_t n,
    const ngx_goim_conf_param_t *params, void *conf)
{
    char                         *rv;
    size_t                        len;
    uint64_t                      seen, bit;
    ngx_str_t                    *value, s;
    const ngx_goim_conf_param_t  *param;

    seen = 0;
    len = 0;
    value = cf->args->elts;

    for ( /* void */ ; n < cf->args->nelts; n++) {

        for (param = params; param->name; param++) {

            len = ngx_strlen(param->name);

            if (value[n].len >= len
                && ngx_strncmp(value[n].data, param->name, len) == 0
                && (value[n].len == len || param->name[len - 1] == '='))
            {
                break;
            }
        }

        if (param->name == NULL) {
            return ngx_goim_conf_unknown(cf, params, &value[n]);
        }

        bit = (uint64_t) 1 << (param - params);

        if (seen & bit) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%s\" in \"%V\" is duplicate", param->name,
                               &value[0]);
            return NGX_CONF_ERROR;
        }

        seen |= bit;

        s.data = value[n].data + len;
        s.len = value[n].len - len;

        rv = param->set(cf, param, &s, conf);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


/* Of what is no parameter the name alone is said: the rest may be secret. */

static char *
ngx_goim_conf_unknown(ngx_conf_t *cf, const ngx_goim_conf_param_t *params,
    ngx_str_t *value)
{
    u_char       *p, *last, text[NGX_GOIM_CONF_TEXT];
    ngx_str_t    *directive, name;
    goim_hint_t   hint;

    directive = cf->args->elts;

    name = *value;
    p = ngx_strlchr(name.data, name.data + name.len, '=');

    if (p) {
        name.len = p + 1 - name.data;
    }

    goim_hint_init(&hint, (const char *) name.data, name.len);

    p = text;
    last = text + sizeof(text);

    for ( /* void */ ; params->name; params++) {
        goim_hint_try(&hint, params->name);
        p = ngx_slprintf(p, last, "%s%s", p == text ? "" : ", ",
                         params->name);
    }

    if (hint.name) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown parameter \"%V\" in \"%V\", did you mean "
                           "\"%s\"? It takes %*s", &name, directive,
                           hint.name, (size_t) (p - text), text);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown parameter \"%V\" in \"%V\", it takes %*s",
                           &name, directive, (size_t) (p - text), text);
    }

    return NGX_CONF_ERROR;
}


char *
ngx_goim_conf_param_text(ngx_conf_t *cf, const ngx_goim_conf_param_t *param,
    ngx_str_t *value, void *conf)
{
    u_char     text[NGX_GOIM_CONF_TEXT];
    ngx_int_t  len;

    len = value->len;

    if (len < param->range.min || len > param->range.max) {
        ngx_snprintf(text, sizeof(text), "a text of %i to %i bytes%Z",
                     param->range.min, param->range.max);

        return ngx_goim_conf_invalid(cf, param->name, value,
                                     (const char *) text);
    }

    *(ngx_str_t *) ((u_char *) conf + param->offset) = *value;

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_param_num(ngx_conf_t *cf, const ngx_goim_conf_param_t *param,
    ngx_str_t *value, void *conf)
{
    u_char     text[NGX_GOIM_CONF_TEXT];
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < param->range.min || n > param->range.max) {
        ngx_snprintf(text, sizeof(text), "a number from %i to %i%Z",
                     param->range.min, param->range.max);

        return ngx_goim_conf_invalid(cf, param->name, value,
                                     (const char *) text);
    }

    *(ngx_uint_t *) ((u_char *) conf + param->offset) = n;

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_param_word(ngx_conf_t *cf, const ngx_goim_conf_param_t *param,
    ngx_str_t *value, void *conf)
{
    *(ngx_uint_t *) ((u_char *) conf + param->offset) = param->range.min;

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_invalid(ngx_conf_t *cf, const char *param, ngx_str_t *value,
    const char *what)
{
    ngx_str_t  *name;

    name = cf->args->elts;

    if (param) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%s\" in \"%V\" takes %s, not \"%V\"",
                           param, name, what, value);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" takes %s, not \"%V\"",
                           name, what, value);
    }

    return NGX_CONF_ERROR;
}


/* nginx's parser stands at the block's end */

char *
ngx_goim_conf_missing(ngx_conf_t *cf, ngx_uint_t line, const char *text)
{
    cf->conf_file->line = line;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"goim\"", text);

    return NGX_CONF_ERROR;
}


/* What the file holds, to the buffer's end; NGX_ERROR: it is logged. */

static ssize_t
ngx_goim_conf_read(ngx_conf_t *cf, ngx_str_t *file, u_char *buf, size_t size)
{
    ssize_t   n;
    ngx_fd_t  fd;

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", file);
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, buf, size);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", file);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", file);
    }

    return n == -1 ? NGX_ERROR : n;
}


ngx_int_t
ngx_goim_conf_secret(ngx_conf_t *cf, ngx_str_t *file, ngx_str_t *secret)
{
    size_t    len;
    u_char    buf[GOIM_SECRET_MAX + 2];
    ssize_t   n;

    n = ngx_goim_conf_read(cf, file, buf, sizeof(buf));

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    for (len = 0; len < (size_t) n; len++) {
        if (buf[len] <= ' ' || buf[len] >= 0x7f) {
            break;
        }
    }

    if (len < GOIM_SECRET_MIN || len > GOIM_SECRET_MAX
        || (len < (size_t) n && buf[len] != '\r' && buf[len] != '\n'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the first line of \"%V\" is not %d to %d visible "
                           "characters of ASCII", file, GOIM_SECRET_MIN,
                           GOIM_SECRET_MAX);
        return NGX_ERROR;
    }

    return ngx_goim_conf_copy(cf, secret, buf, len);
}


/* As the services take it: as editors leave it, a mark of UTF-8 before, ends of
   lines behind. */

ngx_int_t
ngx_goim_conf_password(ngx_conf_t *cf, ngx_str_t *file, ngx_str_t *password)
{
    size_t    len;
    u_char   *p, buf[GOIM_PASSWORD_MAX + 1];
    ssize_t   n;

    n = ngx_goim_conf_read(cf, file, buf, sizeof(buf));

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    p = buf;
    len = n;

    if (len > GOIM_PASSWORD_MAX || ngx_strlchr(buf, buf + len, '\0')) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is no password: it has more than %d bytes, "
                           "or one that is zero", file, GOIM_PASSWORD_MAX);
        return NGX_ERROR;
    }

    if (len >= 3 && ngx_memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        len -= 3;
    }

    while (len && (p[len - 1] == LF || p[len - 1] == CR)) {
        len--;
    }

    return ngx_goim_conf_copy(cf, password, p, len);
}


static ngx_int_t
ngx_goim_conf_copy(ngx_conf_t *cf, ngx_str_t *to, u_char *data, size_t len)
{
    to->len = len;
    to->data = ngx_pnalloc(cf->pool, len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, data, len);

    return NGX_OK;
}
