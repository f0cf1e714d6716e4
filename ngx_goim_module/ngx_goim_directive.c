
/*
 * The directives of goim { } that are more than a number.
 */


#include "ngx_goim_core.h"
#include "ngx_goim_directive.h"
#include "ngx_goim_tls.h"
#include "ngx_goim_value.h"


static char *ngx_goim_conf_redis_password(ngx_conf_t *cf,
    const ngx_goim_conf_param_t *param, ngx_str_t *value, void *conf);
static char *ngx_goim_conf_node_addrs(ngx_conf_t *cf,
    const ngx_goim_conf_param_t *param, ngx_str_t *value, void *conf);


#define NGX_GOIM_CONF_STRING(n)   NGX_GOIM_CONF_STRING_(n)
#define NGX_GOIM_CONF_STRING_(n)  #n

#define NGX_GOIM_CONF_PARAM(name, type, field, min, max)                      \
    { name, ngx_goim_conf_param_##type, offsetof(ngx_goim_conf_t, field),     \
      { min, max } }

static const ngx_goim_conf_param_t  ngx_goim_conf_redis_params[] = {
    NGX_GOIM_CONF_PARAM("user=", text, redis_user, 0, 65536),
    { "password=", ngx_goim_conf_redis_password, 0, { 0, 0 } },
    { "password_file=", ngx_goim_conf_redis_password, 1, { 0, 0 } },
    NGX_GOIM_CONF_PARAM("db=", num, redis_db, 0, GOIM_REDIS_DB),
    NGX_GOIM_CONF_PARAM("prefix=", text, redis_prefix, 0, GOIM_PREFIX_MAX),
    NGX_GOIM_CONF_PARAM("tls", word, redis_tls.on, 1, 1),
    NGX_GOIM_CONF_PARAM("ca_file=", text, redis_tls.ca_file, 1, 4096),
    NGX_GOIM_CONF_PARAM("cert_file=", text, redis_tls.cert_file, 1, 4096),
    NGX_GOIM_CONF_PARAM("key_file=", text, redis_tls.key_file, 1, 4096),
    NGX_GOIM_CONF_PARAM("server_name=", text, redis_tls.server_name, 1, 255),
    { NULL, NULL, 0, { 0, 0 } }
};

static const ngx_goim_conf_param_t  ngx_goim_conf_node_params[] = {
    NGX_GOIM_CONF_PARAM("region=", text, region, 0, GOIM_NODE_TEXT),
    NGX_GOIM_CONF_PARAM("zone=", text, zone_name, 0, GOIM_NODE_TEXT),
    NGX_GOIM_CONF_PARAM("env=", text, env, 0, GOIM_NODE_TEXT),
    NGX_GOIM_CONF_PARAM("weight=", num, weight, 1, GOIM_WEIGHT_MAX),
    { "addrs=", ngx_goim_conf_node_addrs, 0, { 0, 0 } },
    NGX_GOIM_CONF_PARAM("offline", word, offline, 1, 1),
    { NULL, NULL, 0, { 0, 0 } }
};

static const ngx_goim_conf_param_t  ngx_goim_conf_queue_params[] = {
    NGX_GOIM_CONF_PARAM("close", word, queue_drop, 0, 0),
    NGX_GOIM_CONF_PARAM("drop", word, queue_drop, 1, 1),
    { NULL, NULL, 0, { 0, 0 } }
};


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

    if (size < NGX_GOIM_ZONE_MIN) {
        return ngx_goim_conf_invalid(cf, NULL, &value[2],
                                     "a name and a size of at least 3m");
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

    size_t       i;
    ngx_str_t   *value;
    const char  *takes;

    if (gcf->server_id.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    takes = "1 to " NGX_GOIM_CONF_STRING(GOIM_SERVER_MAX) " bytes of "
            "printable ASCII without \"/\" and blanks";

    if (value[1].len == 0 || value[1].len > GOIM_SERVER_MAX) {
        return ngx_goim_conf_invalid(cf, NULL, &value[1], takes);
    }

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] <= ' ' || value[1].data[i] >= 0x7f
            || value[1].data[i] == '/')
        {
            return ngx_goim_conf_invalid(cf, NULL, &value[1], takes);
        }
    }

    gcf->server_id = value[1];

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    char       *rv;
    ngx_str_t  *value;

    if (gcf->redis.url.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_goim_peer_parse(cf, &gcf->redis, &value[1], 6379) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    rv = ngx_goim_conf_params(cf, 2, ngx_goim_conf_redis_params, gcf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (gcf->redis_user.len == 0) {
        ngx_str_set(&gcf->redis_user, "default");

    } else if (gcf->redis_password.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"user=\" in \"%V\" needs a \"password_file=\"",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    return ngx_goim_tls_conf(cf, &gcf->redis_tls, &gcf->redis);
}


/* Itself or its file, one of them.  Nothing here says what it is. */

static char *
ngx_goim_conf_redis_password(ngx_conf_t *cf,
    const ngx_goim_conf_param_t *param, ngx_str_t *value, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_str_t  *directive;

    directive = cf->args->elts;

    if (gcf->redis_password.data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" has both \"password=\" and "
                           "\"password_file=\"", directive);
        return NGX_CONF_ERROR;
    }

    if (param->offset) {
        return ngx_goim_conf_password(cf, value, &gcf->redis_password)
               == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (value->len > GOIM_PASSWORD_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"password=\" in \"%V\" takes at most %d bytes",
                           directive, GOIM_PASSWORD_MAX);
        return NGX_CONF_ERROR;
    }

    gcf->redis_password = *value;

    return NGX_CONF_OK;
}


char *
ngx_goim_conf_logic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_str_t        *value, file;
    ngx_uint_t        i;
    ngx_goim_peer_t  *peer;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "secret_file=", 12) == 0) {

            if (gcf->logic_secret.data) {
                return "has \"secret_file=\" twice";
            }

            file.data = value[i].data + 12;
            file.len = value[i].len - 12;

            if (ngx_goim_conf_secret(cf, &file, &gcf->logic_secret) != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

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

    if (gcf->weight != NGX_CONF_UNSET_UINT || gcf->region.data
        || gcf->zone_name.data || gcf->env.data || gcf->addrs.nelts
        || gcf->offline)
    {
        return "is duplicate";
    }

    return ngx_goim_conf_params(cf, 1, ngx_goim_conf_node_params, gcf);
}


static char *
ngx_goim_conf_node_addrs(ngx_conf_t *cf, const ngx_goim_conf_param_t *param,
    ngx_str_t *value, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    u_char      *p, *last, *comma;
    ngx_str_t   *addr;
    const char  *takes;

    takes = "1 to " NGX_GOIM_CONF_STRING(GOIM_NODE_ADDRS) " addresses of 1 to "
            NGX_GOIM_CONF_STRING(GOIM_NODE_TEXT) " bytes, a comma between two";

    p = value->data;
    last = value->data + value->len;

    do {
        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        if (comma == p || comma - p > GOIM_NODE_TEXT
            || gcf->addrs.nelts == GOIM_NODE_ADDRS)
        {
            return ngx_goim_conf_invalid(cf, param->name, value, takes);
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

    } while (comma < last);

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
    char  *rv;

    rv = ngx_goim_conf_size(cf, cmd, conf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_goim_conf_params(cf, 2, ngx_goim_conf_queue_params, conf);
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
        return ngx_goim_conf_invalid(cf, NULL, &value[1], "a path");
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
            return ngx_goim_conf_invalid(cf, NULL, &value[i],
                                         "mids from 1 to "
                                         "9223372036854775807");
        }
    }

    return NGX_CONF_OK;
}
