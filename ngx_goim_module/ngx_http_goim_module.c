
/*
 * goim_subscribe, goim_echo, goim_status: what a location is for; whom the first
 * takes.
 */


#include "ngx_http_goim.h"


static void *ngx_http_goim_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_goim_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_goim_check_subscribe(ngx_conf_t *cf,
    ngx_http_goim_loc_conf_t *glcf, ngx_str_t *name);
static char *ngx_http_goim_set_subscribe(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_goim_set_echo(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_goim_set_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_goim_set_cookie(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_goim_set_handler(ngx_conf_t *cf,
    ngx_http_goim_loc_conf_t *glcf, ngx_http_handler_pt handler,
    const ngx_goim_app_t *app);


static ngx_command_t  ngx_http_goim_commands[] = {

    { ngx_string("goim_subscribe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_goim_set_subscribe,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goim_echo"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_goim_set_echo,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goim_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_goim_set_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goim_origin"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_goim_set_origin,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goim_subprotocol"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_goim_set_subprotocol,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goim_pass"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_goim_set_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("goim_cookie"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_goim_set_cookie,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_goim_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_goim_create_loc_conf,         /* create location configuration */
    ngx_http_goim_merge_loc_conf           /* merge location configuration */
};


ngx_module_t  ngx_http_goim_module = {
    NGX_MODULE_V1,
    &ngx_http_goim_module_ctx,             /* module context */
    ngx_http_goim_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_goim_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_goim_loc_conf_t));
}


/* A handler is one location's, its "if" and "limit_except" included. */

static char *
ngx_http_goim_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_goim_loc_conf_t  *prev = parent;
    ngx_http_goim_loc_conf_t  *glcf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && glcf->handler == NULL) {

        *glcf = *prev;

        if (clcf->lmt_excpt && clcf->handler == NULL) {
            clcf->handler = glcf->handler;
        }

        return NGX_CONF_OK;
    }

    if (ngx_http_goim_check_subscribe(cf, glcf, &clcf->name) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (glcf->handler == NULL) {
        return NGX_CONF_OK;
    }

    /* another directive of this location came later and took it silently */

    if (clcf->handler != glcf->handler) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not the only handler of location \"%V\"",
                           &glcf->directive, &clcf->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * Whose cookie is a login needs to know which pages use it: a browser sends the
 * cookie with the upgrade of any page.
 */

static ngx_int_t
ngx_http_goim_check_subscribe(ngx_conf_t *cf, ngx_http_goim_loc_conf_t *glcf,
    ngx_str_t *name)
{
    const char  *what, *needed;

    if (glcf->app == &ngx_goim_app) {
        what = glcf->cookie.len && glcf->origins == NULL ? "goim_cookie" : NULL;
        needed = "goim_origin";

    } else {
        /* an echo is asked as the real one, but has no login */

        what = glcf->cookie.len ? "goim_cookie"
               : glcf->pass ? "goim_pass"
               : glcf->app ? NULL
               : glcf->origins ? "goim_origin"
               : glcf->subprotocols ? "goim_subprotocol" : NULL;
        needed = "goim_subscribe";
    }

    if (what == NULL) {
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%s\" needs \"%s\" in location \"%V\"",
                       what, needed, name);
    return NGX_ERROR;
}


static char *
ngx_http_goim_set_subscribe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_goim_set_handler(cf, conf, ngx_http_goim_handshake,
                                     &ngx_goim_app);
}


static char *
ngx_http_goim_set_echo(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_goim_set_handler(cf, conf, ngx_http_goim_handshake,
                                     &ngx_http_goim_echo);
}


static char *
ngx_http_goim_set_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_goim_set_handler(cf, conf, ngx_http_goim_status, NULL);
}


static char *
ngx_http_goim_set_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_goim_loc_conf_t  *glcf = conf;

    ngx_str_t  *value;

    if (glcf->cookie.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!ngx_http_goim_token(&value[1]) || value[1].len > GOIM_COOKIE_MAX) {
        return ngx_goim_conf_invalid(cf, NULL, &value[1],
                                     "the name of a cookie, of at most 64 "
                                     "bytes");
    }

    glcf->cookie = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_goim_set_handler(ngx_conf_t *cf, ngx_http_goim_loc_conf_t *glcf,
    ngx_http_handler_pt handler, const ngx_goim_app_t *app)
{
    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    value = cf->args->elts;

    if (glcf->handler) {

        if (glcf->directive.len == value[0].len
            && ngx_strncmp(glcf->directive.data, value[0].data, value[0].len)
               == 0)
        {
            return "is duplicate";
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" conflicts with \"%V\" in one location",
                           &value[0], &glcf->directive);
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "conflicts with another handler of this location";
    }

    clcf->handler = handler;

    glcf->handler = handler;
    glcf->directive = value[0];
    glcf->app = app;

    ngx_goim_require(cf);

    return NGX_CONF_OK;
}
