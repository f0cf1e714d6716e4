
/*
 * What needs the whole configuration, done when all blocks were read, and what
 * a cycle has of its own: the eventfds.
 */


#include "ngx_goim_core.h"

#include <sys/eventfd.h>


/* ms, of worker_shutdown_timeout, for connections to end in */
#define NGX_GOIM_DRAIN_SPARE    2000


static void ngx_goim_setup_drain(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf);
static ngx_int_t ngx_goim_setup_same(ngx_cycle_t *cycle,
    ngx_goim_conf_t *gcf);
static ngx_int_t ngx_goim_setup_stream(ngx_cycle_t *cycle,
    ngx_goim_conf_t *gcf);
static ngx_int_t ngx_goim_setup_eventfds(ngx_cycle_t *cycle,
    ngx_goim_conf_t *gcf);
static void ngx_goim_setup_close_eventfds(void *data);


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

    ngx_goim_setup_drain(cycle, gcf);

    if (ngx_goim_setup_same(cycle, gcf) != NGX_OK
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

    if (ngx_goim_setup_stream(cycle, gcf) != NGX_OK
        || ngx_goim_instance_init(cycle) != NGX_OK
        || ngx_goim_setup_eventfds(cycle, gcf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* nginx closes what is left when worker_shutdown_timeout is over */

static void
ngx_goim_setup_drain(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
{
    ngx_msec_t        timeout;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);
    timeout = ccf->shutdown_timeout;

    if (gcf->drain == NGX_CONF_UNSET_MSEC) {
        gcf->drain = timeout > NGX_GOIM_DRAIN_SPARE
                     ? timeout - NGX_GOIM_DRAIN_SPARE : 0;
        return;
    }

    if (timeout && gcf->drain >= timeout) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "\"drain\" in \"goim\" is not less than "
                      "\"worker_shutdown_timeout\": clients that are left "
                      "then are closed all at once");
    }
}


/*
 * Workers of before and after a reload share the node's stream and zone, so
 * neither the node's name nor its Redis can change between them.
 */

static ngx_int_t
ngx_goim_setup_same(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
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
                      "restart nginx, in %s:%ui", name, gcf->file,
                      gcf->line);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_goim_setup_stream(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
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
ngx_goim_setup_eventfds(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf)
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

    cln->handler = ngx_goim_setup_close_eventfds;
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
ngx_goim_setup_close_eventfds(void *data)
{
    ngx_goim_conf_t  *gcf = data;

    ngx_uint_t  i;

    for (i = 0; i < gcf->workers; i++) {
        if (gcf->eventfds[i] != -1) {
            (void) close(gcf->eventfds[i]);
        }
    }
}
