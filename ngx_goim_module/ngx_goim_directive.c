
/*
 * The directives of goim { } that are more than a number.
 */


#include "ngx_goim_core.h"
#include "ngx_goim_directive.h"
#include "ngx_goim_value.h"


static char *ngx_goim_conf_node_addrs(ngx_conf_t *cf, ngx_goim_conf_t *gcf,
    ngx_str_t *value);


char *
ngx_goim_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (gcf->shm_zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"zone\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_GOIM_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "size \"%V\" in \"zone\" is too small, at least "
                           "1m is needed", &value[2]);
        return NGX_CONF_ERROR;
    }

    gcf->shm_zone = ngx_shared_memory_add(cf, &value[1], size,
                                          &ngx_goim_module);
    if (gcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    gcf->shm_zone->init = ngx_goim_zone_init;

    return NGX_CONF_OK;
}


/* it is a part of Redis keys and of text in the registry */

char *
ngx_goim_conf_server_id(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    size_t      i;
    ngx_str_t  *value;

    if (gcf->server_id.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > GOIM_SERVER_MAX) {
        return ngx_goim_conf_invalid(cf, &value[1]);
    }

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] <= ' ' || value[1].data[i] >= 0x7f
            || value[1].data[i] == '/')
        {
            return ngx_goim_conf_invalid(cf, &value[1]);
        }
    }

    gcf->server_id = value[1];

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (gcf->redis.url.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_goim_peer_parse(cf, &gcf->redis, &value[1], 6379) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_goim_conf_param(&value[i], "user=", &gcf->redis_user)
            || ngx_goim_conf_param(&value[i], "password=",
                                   &gcf->redis_password)
            || ngx_goim_conf_param(&value[i], "prefix=", &gcf->redis_prefix))
        {
            continue;
        }

        if (ngx_goim_conf_param(&value[i], "db=", &s)) {
            gcf->redis_db = ngx_atoi(s.data, s.len);

            if (gcf->redis_db != NGX_ERROR) {
                continue;
            }
        }

        return ngx_goim_conf_invalid(cf, &value[i]);
    }

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_logic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_goim_peer_t  *peer;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        peer = ngx_array_push(&gcf->logic);
        if (peer == NULL) {
            return NGX_CONF_ERROR;
        }

        if (ngx_goim_peer_parse(cf, peer, &value[i], 3119) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_node(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (gcf->weight != NGX_CONF_UNSET_UINT || gcf->region.data
        || gcf->zone_name.data || gcf->env.data || gcf->addrs.nelts
        || gcf->offline)
    {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_goim_conf_param(&value[i], "region=", &gcf->region)
            || ngx_goim_conf_param(&value[i], "zone=", &gcf->zone_name)
            || ngx_goim_conf_param(&value[i], "env=", &gcf->env))
        {
            continue;
        }

        if (ngx_strcmp(value[i].data, "offline") == 0) {
            gcf->offline = 1;
            continue;
        }

        if (ngx_goim_conf_param(&value[i], "weight=", &s)) {
            n = ngx_atoi(s.data, s.len);

            if (n > 0 && n <= 1000000) {
                gcf->weight = n;
                continue;
            }
        }

        if (ngx_goim_conf_param(&value[i], "addrs=", &s) && s.len) {

            if (ngx_goim_conf_node_addrs(cf, gcf, &s) != NGX_CONF_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        return ngx_goim_conf_invalid(cf, &value[i]);
    }

    return NGX_CONF_OK;
}


static char *
ngx_goim_conf_node_addrs(ngx_conf_t *cf, ngx_goim_conf_t *gcf,
    ngx_str_t *value)
{
    u_char     *p, *last, *comma;
    ngx_str_t  *addr;

    p = value->data;
    last = value->data + value->len;

    while (p < last) {

        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        if (comma == p) {
            return ngx_goim_conf_invalid(cf, value);
        }

        addr = ngx_array_push(&gcf->addrs);
        if (addr == NULL) {
            return NGX_CONF_ERROR;
        }

        addr->len = comma - p;
        addr->data = ngx_pcalloc(cf->pool, addr->len + 1);
        if (addr->data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memcpy(addr->data, p, addr->len);

        p = comma + 1;
    }

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_resolver(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_str_t  *value;

    if (gcf->resolver) {
        return "is duplicate";
    }

    value = cf->args->elts;

    gcf->resolver = ngx_resolver_create(cf, &value[1], cf->args->nelts - 1);

    return gcf->resolver ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_goim_conf_queue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (gcf->queue_size != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[1]);

    if (size < 1024 || size > NGX_MAX_INT32_VALUE) {
        return ngx_goim_conf_invalid(cf, &value[1]);
    }

    gcf->queue_size = size;

    if (cf->args->nelts == 3) {

        if (ngx_strcmp(value[2].data, "drop") == 0) {
            gcf->queue_drop = 1;

        } else if (ngx_strcmp(value[2].data, "close") != 0) {
            return ngx_goim_conf_invalid(cf, &value[2]);
        }
    }

    return NGX_CONF_OK;
}


/* opened by nginx, which opens it again at USR1 */

char *
ngx_goim_conf_trace_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_str_t  *value;

    if (gcf->trace_log) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_goim_conf_invalid(cf, &value[1]);
    }

    gcf->trace_log = ngx_conf_open_file(cf->cycle, &value[1]);

    return gcf->trace_log ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_goim_conf_trace(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_int_t    rc;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        rc = ngx_goim_mids_add(&gcf->trace, value[i].data, value[i].len);

        if (rc == NGX_BUSY) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"trace\" is one too many, at "
                               "most %d mids can be traced", &value[i],
                               NGX_GOIM_TRACE_MIDS);
            return NGX_CONF_ERROR;
        }

        if (rc != NGX_OK) {
            return ngx_goim_conf_invalid(cf, &value[i]);
        }
    }

    return NGX_CONF_OK;
}
