/*
 * Between a configuration file's lines (conf.c) and its values (conf_value.c).
 */

#ifndef SVC_CONF_INT_H
#define SVC_CONF_INT_H

#include "conf.h"

#include "common/goim_hint.h"

#define CONF_ERROR_MAX   512

/* never NULL */
char *conf_dup(const char *text);

/* The key's field in conf; -1: err says what follows `[section] key = "value"
 * `. */
int conf_set(const conf_key_t *key, void *conf, const char *value, char *err,
    size_t size);

/* Appends the name, if one is near. */
void conf_hint_name(char *err, size_t size, const goim_hint_t *hint);

#endif
