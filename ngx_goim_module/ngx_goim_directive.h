/*
 * The directives of goim { } that are more than a number: handlers, which
 * nginx calls with an ngx_goim_conf_t.  Each answers NGX_CONF_OK, "is
 * duplicate", or NGX_CONF_ERROR after an error was logged.
 */

#ifndef _NGX_GOIM_DIRECTIVE_H_INCLUDED_
#define _NGX_GOIM_DIRECTIVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


char *ngx_goim_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_server_id(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_logic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_node(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_resolver(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_queue(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_trace_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_trace(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_GOIM_DIRECTIVE_H_INCLUDED_ */
