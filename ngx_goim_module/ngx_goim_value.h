/*
 * Values of directives, and what is said of wrong ones: what they may be, the
 * name that may have been meant, file and line.
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


/* a parameter of a directive; a list of them ends with one without a name */

typedef struct ngx_goim_conf_param_s  ngx_goim_conf_param_t;

struct ngx_goim_conf_param_s {
    const char                 *name;   /* "db=", or a word: "offline" */
    char                     *(*set)(ngx_conf_t *cf,
                                     const ngx_goim_conf_param_t *param,
                                     ngx_str_t *value, void *conf);
    size_t                      offset; /* of the field in conf */
    ngx_goim_conf_range_t       range;  /* of a number, or of a length */
};

/* The directive's arguments from `n` on, in any order, each once. */
char *ngx_goim_conf_params(ngx_conf_t *cf, ngx_uint_t n,
    const ngx_goim_conf_param_t *params, void *conf);

/* into an ngx_str_t; an ngx_uint_t; one that a word sets to its range.min */
char *ngx_goim_conf_param_text(ngx_conf_t *cf,
    const ngx_goim_conf_param_t *param, ngx_str_t *value, void *conf);
char *ngx_goim_conf_param_num(ngx_conf_t *cf,
    const ngx_goim_conf_param_t *param, ngx_str_t *value, void *conf);
char *ngx_goim_conf_param_word(ngx_conf_t *cf,
    const ngx_goim_conf_param_t *param, ngx_str_t *value, void *conf);


/* What nodes show to logic: the first line of a file, GOIM_SECRET_MIN to
   GOIM_SECRET_MAX visible characters.  An error is logged. */
ngx_int_t ngx_goim_conf_secret(ngx_conf_t *cf, ngx_str_t *file,
    ngx_str_t *secret);

/* What a file holds, less its last newlines: GOIM_PASSWORD_MAX bytes at most.
   An error is logged. */
ngx_int_t ngx_goim_conf_password(ngx_conf_t *cf, ngx_str_t *file,
    ngx_str_t *password);


/* Logs that the directive (its parameter "db=", if it is not NULL) takes
   `what` ("a number from 0 to 5"), and not value.  NGX_CONF_ERROR. */
char *ngx_goim_conf_invalid(ngx_conf_t *cf, const char *param,
    ngx_str_t *value, const char *what);

/* Logs that the block that began at `line` lacks what `text` says. */
char *ngx_goim_conf_missing(ngx_conf_t *cf, ngx_uint_t line,
    const char *text);


#endif /* _NGX_GOIM_VALUE_H_INCLUDED_ */
