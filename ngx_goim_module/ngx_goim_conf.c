
/*
 * The directives of goim { }.
 */


#include "ngx_goim_core.h"




/* what a number may be; `post` of a command */

typedef struct {
    ngx_int_t   min;
    ngx_int_t   max;
} ngx_goim_conf_range_t;


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
static char *ngx_goim_conf_trace_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_trace(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_msec(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_size(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_num(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_goim_conf_range(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_int_t n);
static ngx_uint_t ngx_goim_conf_param(ngx_str_t *value, const char *name,
    ngx_str_t *out);
static char *ngx_goim_conf_invalid(ngx_conf_t *cf, ngx_str_t *value);


static ngx_goim_conf_range_t  ngx_goim_conf_times = { 1, 24 * 3600 * 1000 };
static ngx_goim_conf_range_t  ngx_goim_conf_lingers = { 0, 10000 };
static ngx_goim_conf_range_t  ngx_goim_conf_gathers = { 1024, 1024 * 1024 };
static ngx_goim_conf_range_t  ngx_goim_conf_bodies = { 16, 512 * 1024 };
static ngx_goim_conf_range_t  ngx_goim_conf_limits = { 0, 100000000 };


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
      ngx_goim_conf_msec,
      0,
      offsetof(ngx_goim_conf_t, redis_timeout),
      &ngx_goim_conf_times },

    { ngx_string("logic"),
      NGX_GOIM_CONF|NGX_CONF_1MORE,
      ngx_goim_conf_logic,
      0,
      0,
      NULL },

    { ngx_string("logic_timeout"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_msec,
      0,
      offsetof(ngx_goim_conf_t, logic_timeout),
      &ngx_goim_conf_times },

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
      ngx_goim_conf_msec,
      0,
      offsetof(ngx_goim_conf_t, resolver_timeout),
      &ngx_goim_conf_times },

    { ngx_string("handshake_timeout"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_msec,
      0,
      offsetof(ngx_goim_conf_t, handshake_timeout),
      &ngx_goim_conf_times },

    { ngx_string("room_linger"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_msec,
      0,
      offsetof(ngx_goim_conf_t, room_linger),
      &ngx_goim_conf_lingers },

    { ngx_string("gather_size"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_size,
      0,
      offsetof(ngx_goim_conf_t, gather_size),
      &ngx_goim_conf_gathers },

    { ngx_string("max_body"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_size,
      0,
      offsetof(ngx_goim_conf_t, max_body),
      &ngx_goim_conf_bodies },

    { ngx_string("queue_size"),
      NGX_GOIM_CONF|NGX_CONF_TAKE12,
      ngx_goim_conf_queue,
      0,
      0,
      NULL },

    { ngx_string("max_sessions"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_num,
      0,
      offsetof(ngx_goim_conf_t, max_sessions),
      &ngx_goim_conf_limits },

    { ngx_string("max_per_addr"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_num,
      0,
      offsetof(ngx_goim_conf_t, max_per_addr),
      &ngx_goim_conf_limits },

    { ngx_string("trace_log"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_trace_log,
      0,
      0,
      NULL },

    { ngx_string("trace"),
      NGX_GOIM_CONF|NGX_CONF_1MORE,
      ngx_goim_conf_trace,
      0,
      0,
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
    gcf->room_linger = NGX_CONF_UNSET_MSEC;
    gcf->gather_size = NGX_CONF_UNSET_SIZE;
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

    if (gcf->trace.n && gcf->trace_log == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"trace\" needs a \"trace_log\" in \"goim\"");
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_msec_value(gcf->redis_timeout, 2000);
    ngx_conf_init_msec_value(gcf->logic_timeout, 5000);
    ngx_conf_init_msec_value(gcf->resolver_timeout, 30000);
    ngx_conf_init_msec_value(gcf->handshake_timeout, 8000);
    ngx_conf_init_msec_value(gcf->room_linger, 0);
    ngx_conf_init_size_value(gcf->gather_size, 16 * 1024);
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


/* opened by nginx, which opens it again at USR1 */

static char *
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


static char *
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


/* Beside nginx's own slots these name the value and know its bounds. */

static char *
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


static char *
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


static char *
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
