
/*
 * The directives of goim { }.
 */


#include "ngx_goim_core.h"

#include <sys/eventfd.h>


#define NGX_GOIM_INSTANCE_ENV   "NGX_GOIM_INSTANCE"
#define NGX_GOIM_MAX_SERVER_ID  64


static char *ngx_goim_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_goim_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_server_id(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_logic(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_node(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_node_addrs(ngx_conf_t *cf, ngx_goim_conf_t *gcf,
    ngx_str_t *value);
static char *ngx_goim_conf_resolver(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_queue(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_uint_t ngx_goim_conf_param(ngx_str_t *value, const char *name,
    ngx_str_t *out);
static char *ngx_goim_conf_invalid(ngx_conf_t *cf, ngx_str_t *value);

static ngx_int_t ngx_goim_conf_check(ngx_cycle_t *cycle,
    ngx_goim_conf_t *gcf);
static ngx_int_t ngx_goim_conf_same(ngx_cycle_t *cycle,
    ngx_goim_conf_t *gcf);
static ngx_int_t ngx_goim_conf_stream(ngx_cycle_t *cycle,
    ngx_goim_conf_t *gcf);
static ngx_int_t ngx_goim_conf_instance(ngx_cycle_t *cycle,
    ngx_goim_conf_t *gcf);
static ngx_int_t ngx_goim_conf_new_instance(u_char *buf, size_t len,
    ngx_cycle_t *cycle);
static ngx_int_t ngx_goim_conf_eventfds(ngx_cycle_t *cycle,
    ngx_goim_conf_t *gcf);
static void ngx_goim_conf_close_eventfds(void *data);


ngx_command_t  ngx_goim_commands[] = {

    { ngx_string("goim"),
      NGX_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_NOARGS,
      ngx_goim_block,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_command_t  ngx_goim_block_commands[] = {

    { ngx_string("zone"),
      NGX_GOIM_CONF|NGX_CONF_TAKE2,
      ngx_goim_conf_zone,
      0,
      0,
      NULL },

    { ngx_string("server_id"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_server_id,
      0,
      0,
      NULL },

    { ngx_string("redis"),
      NGX_GOIM_CONF|NGX_CONF_1MORE,
      ngx_goim_conf_redis,
      0,
      0,
      NULL },

    { ngx_string("redis_timeout"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      0,
      offsetof(ngx_goim_conf_t, redis_timeout),
      NULL },

    { ngx_string("logic"),
      NGX_GOIM_CONF|NGX_CONF_1MORE,
      ngx_goim_conf_logic,
      0,
      0,
      NULL },

    { ngx_string("logic_timeout"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      0,
      offsetof(ngx_goim_conf_t, logic_timeout),
      NULL },

    { ngx_string("node"),
      NGX_GOIM_CONF|NGX_CONF_1MORE,
      ngx_goim_conf_node,
      0,
      0,
      NULL },

    { ngx_string("resolver"),
      NGX_GOIM_CONF|NGX_CONF_1MORE,
      ngx_goim_conf_resolver,
      0,
      0,
      NULL },

    { ngx_string("resolver_timeout"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      0,
      offsetof(ngx_goim_conf_t, resolver_timeout),
      NULL },

    { ngx_string("handshake_timeout"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      0,
      offsetof(ngx_goim_conf_t, handshake_timeout),
      NULL },

    { ngx_string("max_body"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      0,
      offsetof(ngx_goim_conf_t, max_body),
      NULL },

    { ngx_string("queue_size"),
      NGX_GOIM_CONF|NGX_CONF_TAKE12,
      ngx_goim_conf_queue,
      0,
      0,
      NULL },

    { ngx_string("max_sessions"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      0,
      offsetof(ngx_goim_conf_t, max_sessions),
      NULL },

    { ngx_string("max_per_addr"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      0,
      offsetof(ngx_goim_conf_t, max_per_addr),
      NULL },

      ngx_null_command
};


static ngx_core_module_t  ngx_goim_block_module_ctx = {
    ngx_string("goim_block"),
    NULL,
    NULL
};


/* directives inside the block are looked for in modules of its type */

ngx_module_t  ngx_goim_block_module = {
    NGX_MODULE_V1,
    &ngx_goim_block_module_ctx,             /* module context */
    ngx_goim_block_commands,                /* module directives */
    NGX_GOIM_MODULE,                        /* module type */
    NULL,                                   /* init master */
    NULL,                                   /* init module */
    NULL,                                   /* init process */
    NULL,                                   /* init thread */
    NULL,                                   /* exit thread */
    NULL,                                   /* exit process */
    NULL,                                   /* exit master */
    NGX_MODULE_V1_PADDING
};


/* kept by the master through reloads, handed on in the environment to the
   binary of an upgrade */

static u_char  ngx_goim_instance[NGX_MAXHOSTNAMELEN + 128];


void *
ngx_goim_create_conf(ngx_cycle_t *cycle)
{
    ngx_goim_conf_t  *gcf;

    gcf = ngx_pcalloc(cycle->pool, sizeof(ngx_goim_conf_t));
    if (gcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&gcf->logic, cycle->pool, 2, sizeof(ngx_goim_peer_t))
        != NGX_OK
        || ngx_array_init(&gcf->addrs, cycle->pool, 2, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NULL;
    }

    gcf->redis_timeout = NGX_CONF_UNSET_MSEC;
    gcf->logic_timeout = NGX_CONF_UNSET_MSEC;
    gcf->resolver_timeout = NGX_CONF_UNSET_MSEC;
    gcf->handshake_timeout = NGX_CONF_UNSET_MSEC;
    gcf->max_body = NGX_CONF_UNSET_SIZE;
    gcf->queue_size = NGX_CONF_UNSET_SIZE;
    gcf->max_sessions = NGX_CONF_UNSET_UINT;
    gcf->max_per_addr = NGX_CONF_UNSET_UINT;
    gcf->weight = NGX_CONF_UNSET_UINT;

    return gcf;
}


static char *
ngx_goim_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char             *rv;
    void             *ctx[1];
    ngx_conf_t        save;
    ngx_goim_conf_t  *gcf;

    gcf = (ngx_goim_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_goim_module);

    if (gcf->enabled) {
        return "is duplicate";
    }

    gcf->enabled = 1;

    /* ngx_conf_handler() finds gcf as ctx[0], place ctx_index */

    ngx_goim_block_module.ctx_index = 0;
    ctx[0] = &gcf;

    save = *cf;

    cf->ctx = ctx;
    cf->module_type = NGX_GOIM_MODULE;
    cf->cmd_type = NGX_GOIM_CONF;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    ngx_conf_init_msec_value(gcf->redis_timeout, 2000);
    ngx_conf_init_msec_value(gcf->logic_timeout, 5000);
    ngx_conf_init_msec_value(gcf->resolver_timeout, 30000);
    ngx_conf_init_msec_value(gcf->handshake_timeout, 8000);
    ngx_conf_init_size_value(gcf->max_body, 4096);
    ngx_conf_init_size_value(gcf->queue_size, 1024 * 1024);
    ngx_conf_init_uint_value(gcf->max_sessions, 0);
    ngx_conf_init_uint_value(gcf->max_per_addr, 0);
    ngx_conf_init_uint_value(gcf->weight, 10);

    return NGX_CONF_OK;
}


static char *
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

static char *
ngx_goim_conf_server_id(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    size_t      i;
    ngx_str_t  *value;

    if (gcf->server_id.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > NGX_GOIM_MAX_SERVER_ID) {
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


static char *
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


static char *
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


static char *
ngx_goim_conf_node(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (gcf->weight != NGX_CONF_UNSET_UINT || gcf->region.data
        || gcf->zone_name.data || gcf->env.data || gcf->addrs.nelts)
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


static char *
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


static char *
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


static ngx_uint_t
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


static char *
ngx_goim_conf_invalid(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_str_t  *name;

    name = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\" in \"%V\"",
                       value, name);

    return NGX_CONF_ERROR;
}


void
ngx_goim_require(ngx_conf_t *cf)
{
    ngx_str_t        *value;
    ngx_goim_conf_t  *gcf;

    gcf = (ngx_goim_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_goim_module);

    if (gcf->user.len) {
        return;
    }

    value = cf->args->elts;

    gcf->user = value[0];
    gcf->user_file = cf->conf_file->file.name.data;
    gcf->user_line = cf->conf_file->line;
}


/* Everything that needs all directives, of other blocks too. */

char *
ngx_goim_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_goim_conf_t  *gcf = conf;

    ngx_uint_t        i;
    ngx_goim_peer_t  *peer;

    if (!gcf->enabled) {

        if (gcf->user.len) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "\"%V\" needs a \"goim\" block in %s:%ui",
                          &gcf->user, gcf->user_file, gcf->user_line);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (gcf->server_id.data == NULL) {
        gcf->server_id.len = cycle->hostname.len;
        gcf->server_id.data = ngx_pcalloc(cycle->pool,
                                          cycle->hostname.len + 1);
        if (gcf->server_id.data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memcpy(gcf->server_id.data, cycle->hostname.data,
                   cycle->hostname.len);
    }

    if (gcf->region.data == NULL) {
        ngx_str_set(&gcf->region, "");
    }

    if (gcf->zone_name.data == NULL) {
        ngx_str_set(&gcf->zone_name, "");
    }

    if (gcf->env.data == NULL) {
        ngx_str_set(&gcf->env, "");
    }

    if (ngx_goim_conf_check(cycle, gcf) != NGX_OK
        || ngx_goim_conf_same(cycle, gcf) != NGX_OK
        || ngx_goim_peer_init(cycle, gcf, &gcf->redis) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    peer = gcf->logic.elts;

    for (i = 0; i < gcf->logic.nelts; i++) {
        if (ngx_goim_peer_init(cycle, gcf, &peer[i]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_goim_conf_stream(cycle, gcf) != NGX_OK
        || ngx_goim_conf_instance(cycle, gcf) != NGX_OK
        || ngx_goim_conf_eventfds(cycle, gcf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_goim_conf_check(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
{
    const char  *missing;

    missing = gcf->shm_zone == NULL ? "zone"
              : gcf->redis.url.data == NULL ? "redis"
              : gcf->logic.nelts == 0 ? "logic" : NULL;

    if (missing) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "no \"%s\" in \"goim\"", missing);
        return NGX_ERROR;
    }

    if (gcf->max_body < 16 || gcf->max_body > 512 * 1024) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"max_body\" in \"goim\" must be between 16 and 512k");
        return NGX_ERROR;
    }

    if (gcf->handshake_timeout == 0 || gcf->logic_timeout == 0
        || gcf->redis_timeout == 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"%s\" in \"goim\" may not be 0",
                      gcf->handshake_timeout == 0 ? "handshake_timeout"
                      : gcf->logic_timeout == 0 ? "logic_timeout"
                      : "redis_timeout");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Workers of before and after a reload share the node's stream and zone, so
 * neither the node's name nor its Redis can change between them.
 */

static ngx_int_t
ngx_goim_conf_same(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
{
    ngx_uint_t        i;
    ngx_cycle_t      *old;
    const char       *name;
    ngx_goim_conf_t  *ocf;

    old = cycle->old_cycle;

    if (old == NULL || old->conf_ctx == NULL || old->modules == NULL) {
        return NGX_OK;
    }

    for (i = 0; old->modules[i] != &ngx_goim_module; i++) {
        if (old->modules[i] == NULL) {
            return NGX_OK;
        }
    }

    ocf = ngx_goim_get_conf(old);

    if (ocf == NULL) {
        return NGX_OK;
    }

    name = NULL;

    if (ocf->server_id.len != gcf->server_id.len
        || ngx_memcmp(ocf->server_id.data, gcf->server_id.data,
                      gcf->server_id.len) != 0)
    {
        name = "server_id";

    } else if (ocf->redis.url.len != gcf->redis.url.len
               || ngx_memcmp(ocf->redis.url.data, gcf->redis.url.data,
                             gcf->redis.url.len) != 0
               || ocf->redis_db != gcf->redis_db
               || ocf->redis_prefix.len != gcf->redis_prefix.len
               || (gcf->redis_prefix.len
                   && ngx_memcmp(ocf->redis_prefix.data,
                                 gcf->redis_prefix.data,
                                 gcf->redis_prefix.len) != 0))
    {
        name = "redis";
    }

    if (name) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"%s\" in \"goim\" cannot be changed by a reload, "
                      "restart nginx", name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_goim_conf_stream(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
{
    u_char  *p;

    p = ngx_pnalloc(cycle->pool, gcf->redis_prefix.len + sizeof("goim:node:")
                                 + gcf->server_id.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    gcf->stream.data = p;
    p = ngx_sprintf(p, "%Vgoim:node:%V", &gcf->redis_prefix,
                    &gcf->server_id);
    gcf->stream.len = p - gcf->stream.data;
    *p = '\0';

    return NGX_OK;
}


static ngx_int_t
ngx_goim_conf_instance(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
{
    size_t            len;
    u_char           *p;
    char             *inherited;
    ngx_str_t        *env;
    ngx_core_conf_t  *ccf;

    if (ngx_goim_instance[0] == '\0') {
        inherited = getenv(NGX_GOIM_INSTANCE_ENV);

        if (inherited && ngx_strlen(inherited) < sizeof(ngx_goim_instance)) {
            ngx_cpystrn(ngx_goim_instance, (u_char *) inherited,
                        sizeof(ngx_goim_instance));

        } else if (ngx_goim_conf_new_instance(ngx_goim_instance,
                                              sizeof(ngx_goim_instance),
                                              cycle)
                   != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    gcf->instance.data = ngx_goim_instance;
    gcf->instance.len = ngx_strlen(ngx_goim_instance);

    /* as if by env NGX_GOIM_INSTANCE=... */

    len = sizeof(NGX_GOIM_INSTANCE_ENV "=") + gcf->instance.len;

    p = ngx_pnalloc(cycle->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, NGX_GOIM_INSTANCE_ENV "=%V%Z", &gcf->instance);

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    env = ngx_array_push(&ccf->env);
    if (env == NULL) {
        return NGX_ERROR;
    }

    env->data = p;
    env->len = sizeof(NGX_GOIM_INSTANCE_ENV) - 1;

    return NGX_OK;
}


/* <host>/<boot id>/<random> */

static ngx_int_t
ngx_goim_conf_new_instance(u_char *buf, size_t len, ngx_cycle_t *cycle)
{
    ssize_t   n;
    u_char    boot[36], random[8], hex[17];
    ngx_fd_t  fd;

    ngx_memset(boot, '0', sizeof(boot));

    fd = ngx_open_file("/proc/sys/kernel/random/boot_id", NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);

    if (fd != NGX_INVALID_FILE) {
        n = ngx_read_fd(fd, boot, sizeof(boot));
        (void) ngx_close_file(fd);

        if (n != (ssize_t) sizeof(boot)) {
            ngx_memset(boot, '0', sizeof(boot));
        }
    }

    fd = ngx_open_file("/dev/urandom", NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    n = NGX_FILE_ERROR;

    if (fd != NGX_INVALID_FILE) {
        n = ngx_read_fd(fd, random, sizeof(random));
        (void) ngx_close_file(fd);
    }

    if (n != (ssize_t) sizeof(random)) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "goim: no random bytes in /dev/urandom");
        return NGX_ERROR;
    }

    *ngx_hex_dump(hex, random, sizeof(random)) = '\0';

    ngx_snprintf(buf, len, "%V/%*s/%s%Z", &cycle->hostname, sizeof(boot),
                 boot, hex);

    return NGX_OK;
}


static ngx_int_t
ngx_goim_conf_eventfds(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
{
    ngx_uint_t           i;
    ngx_core_conf_t     *ccf;
    ngx_pool_cleanup_t  *cln;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    gcf->workers = ccf->master ? ccf->worker_processes : 1;

    gcf->eventfds = ngx_palloc(cycle->pool,
                               gcf->workers * sizeof(ngx_fd_t));
    cln = ngx_pool_cleanup_add(cycle->pool, 0);

    if (gcf->eventfds == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < gcf->workers; i++) {
        gcf->eventfds[i] = -1;
    }

    cln->handler = ngx_goim_conf_close_eventfds;
    cln->data = gcf;

    for (i = 0; i < gcf->workers; i++) {
        gcf->eventfds[i] = eventfd(0, EFD_CLOEXEC|EFD_NONBLOCK);

        if (gcf->eventfds[i] == -1) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "goim: eventfd() failed");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_goim_conf_close_eventfds(void *data)
{
    ngx_goim_conf_t  *gcf = data;

    ngx_uint_t  i;

    for (i = 0; i < gcf->workers; i++) {
        if (gcf->eventfds[i] != -1) {
            (void) close(gcf->eventfds[i]);
        }
    }
}
