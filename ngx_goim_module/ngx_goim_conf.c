
/*
 * The block goim { }: its directives, and what they are without one.
 */


#include "ngx_goim_core.h"
#include "ngx_goim_directive.h"
#include "ngx_goim_value.h"


static char *ngx_goim_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_goim_conf_range_t  ngx_goim_conf_times = { 1, 24 * 3600 * 1000 };
static ngx_goim_conf_range_t  ngx_goim_conf_lingers = { 0, 10000 };
static ngx_goim_conf_range_t  ngx_goim_conf_drains = { 0, 86400000 };
static ngx_goim_conf_range_t  ngx_goim_conf_gathers = { 1024, 1024 * 1024 };
static ngx_goim_conf_range_t  ngx_goim_conf_bodies = { 16, GOIM_PACKET_MAX };
static ngx_goim_conf_range_t  ngx_goim_conf_queues = { 1024, 1024 * 1024 * 1024 };
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

    { ngx_string("send_timeout"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_msec,
      0,
      offsetof(ngx_goim_conf_t, send_timeout),
      &ngx_goim_conf_times },

    { ngx_string("room_linger"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_msec,
      0,
      offsetof(ngx_goim_conf_t, room_linger),
      &ngx_goim_conf_lingers },

    { ngx_string("drain"),
      NGX_GOIM_CONF|NGX_CONF_TAKE1,
      ngx_goim_conf_msec,
      0,
      offsetof(ngx_goim_conf_t, drain),
      &ngx_goim_conf_drains },

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
      offsetof(ngx_goim_conf_t, queue_size),
      &ngx_goim_conf_queues },

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
    gcf->send_timeout = NGX_CONF_UNSET_MSEC;
    gcf->room_linger = NGX_CONF_UNSET_MSEC;
    gcf->drain = NGX_CONF_UNSET_MSEC;
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
    gcf->file = cf->conf_file->file.name.data;
    gcf->line = cf->conf_file->line;

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

    if (gcf->shm_zone == NULL) {
        return ngx_goim_conf_missing(cf, gcf->line, "no \"zone\"");
    }

    if (gcf->redis.url.data == NULL) {
        return ngx_goim_conf_missing(cf, gcf->line, "no \"redis\"");
    }

    if (gcf->logic.nelts == 0) {
        return ngx_goim_conf_missing(cf, gcf->line, "no \"logic\"");
    }

    if (gcf->trace.n && gcf->trace_log == NULL) {
        return ngx_goim_conf_missing(cf, gcf->line,
                                     "\"trace\" needs a \"trace_log\"");
    }

    ngx_conf_init_msec_value(gcf->redis_timeout, 2000);
    ngx_conf_init_msec_value(gcf->logic_timeout, 5000);
    ngx_conf_init_msec_value(gcf->resolver_timeout, 30000);
    ngx_conf_init_msec_value(gcf->handshake_timeout, 8000);
    ngx_conf_init_msec_value(gcf->send_timeout, 60000);
    ngx_conf_init_msec_value(gcf->room_linger, 0);
    ngx_conf_init_size_value(gcf->gather_size, 16 * 1024);
    ngx_conf_init_size_value(gcf->max_body, 4096);
    ngx_conf_init_size_value(gcf->queue_size, 1024 * 1024);
    ngx_conf_init_uint_value(gcf->max_sessions, 0);
    ngx_conf_init_uint_value(gcf->max_per_addr, 0);
    ngx_conf_init_uint_value(gcf->weight, 10);

    return NGX_CONF_OK;
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
