/*
 * Values of directives, and what is said of wrong ones.
 */

#ifndef _NGX_GOIM_VALUE_H_INCLUDED_
#define _NGX_GOIM_VALUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* what a number may be; `post` of a command */

typedef struct {
    ngx_int_t                   min;
    ngx_int_t                   max;
} ngx_goim_conf_range_t;


/*
 * Handlers of directives with one number.  Beside nginx's own slots these name
 * the value and know its bounds; the field is one that is unset.
 */
char *ngx_goim_conf_msec(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_size(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_goim_conf_num(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* value begins with name ("db="): out is the rest */
ngx_uint_t ngx_goim_conf_param(ngx_str_t *value, const char *name,
    ngx_str_t *out);

/* logs that value is none of the directive; NGX_CONF_ERROR */
char *ngx_goim_conf_invalid(ngx_conf_t *cf, ngx_str_t *value);


#endif /* _NGX_GOIM_VALUE_H_INCLUDED_ */
