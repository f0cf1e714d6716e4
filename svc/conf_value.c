/*
 * Values of a configuration file: what they are by their type, and what is
 * said of wrong ones.
 */

#include "conf_int.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define CONF_FILE_MAX    (1024 * 1024)      /* of a CONF_FILE */


char *
conf_dup(const char *text)
{
    char  *copy;

    copy = strdup(text);
    if (copy == NULL) {
        abort();
    }

    return copy;
}


/*
 * A number and what follows it. Everything is refused that strtoll() would
 * let pass silently: no digits, overflow, leading space.
 */
static int
conf_int(const char *value, int64_t *n, const char **rest)
{
    char       *end;
    long long   v;

    if (!isdigit((unsigned char) value[0])
        && !(value[0] == '-' && isdigit((unsigned char) value[1])))
    {
        return -1;
    }

    errno = 0;
    v = strtoll(value, &end, 10);

    if (errno != 0) {
        return -1;
    }

    *n = v;
    *rest = end;

    return 0;
}


typedef struct {
    const char  *suffix;
    int64_t      factor;
} conf_unit_t;

static const conf_unit_t conf_times[] = {
    { "ms", 1 }, { "", 1000 }, { "s", 1000 }, { "m", 60000 },
    { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 }
};

static const conf_unit_t conf_sizes[] = {
    { "", 1 }, { "k", 1024 }, { "K", 1024 }, { "m", 1048576 },
    { "M", 1048576 }, { "g", 1073741824 }, { "G", 1073741824 }, { NULL, 0 }
};


static int
conf_scaled(const char *value, const conf_unit_t *units, int64_t *n)
{
    const char         *rest;
    const conf_unit_t  *u;

    if (conf_int(value, n, &rest) != 0 || *n < 0) {
        return -1;
    }

    for (u = units; u->suffix != NULL; u++) {
        if (strcmp(rest, u->suffix) == 0) {
            return __builtin_mul_overflow(*n, u->factor, n) ? -1 : 0;
        }
    }

    return -1;
}


int
conf_msec(const char *value, int64_t *ms)
{
    return conf_scaled(value, conf_times, ms);
}


static int
conf_double(const char *value, double *d)
{
    char  *end;

    if (isspace((unsigned char) value[0])) {
        return -1;
    }

    errno = 0;
    *d = strtod(value, &end);

    if (end == value || *end != '\0' || errno != 0 || !isfinite(*d)) {
        return -1;
    }

    return 0;
}


char *
conf_file(const char *path, char *err, size_t size)
{
    char    *text, *shrunk;
    FILE    *f;
    size_t   n;

    f = fopen(path, "re");
    if (f == NULL) {
        snprintf(err, size, "%s", strerror(errno));
        return NULL;
    }

    text = malloc(CONF_FILE_MAX + 1);
    if (text == NULL) {
        abort();
    }

    n = fread(text, 1, CONF_FILE_MAX + 1, f);

    if (ferror(f)) {
        snprintf(err, size, "%s", strerror(errno));
        goto failed;
    }

    if (n > CONF_FILE_MAX) {
        snprintf(err, size, "longer than %d bytes", CONF_FILE_MAX);
        goto failed;
    }

    if (memchr(text, '\0', n) != NULL) {
        snprintf(err, size, "contains a zero byte");
        goto failed;
    }

    fclose(f);

    /* as editors leave it: a mark of UTF-8 before, ends of lines behind */

    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        n -= 3;
        memmove(text, text + 3, n);
    }

    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }

    text[n] = '\0';
    shrunk = realloc(text, n + 1);

    return shrunk != NULL ? shrunk : text;

failed:

    fclose(f);
    free(text);

    return NULL;
}


static int
conf_in_range(const conf_key_t *key, double v)
{
    return (key->min == 0 && key->max == 0)
           || (v >= (double) key->min && v <= (double) key->max);
}


/* Refused, with what a value of this type looks like. */
static int
conf_refuse(const conf_key_t *key, const char *what, char *err, size_t size)
{
    char  min[GOIM_HINT_NUMBER], max[GOIM_HINT_NUMBER];

    if (key->type == CONF_MSEC) {
        goim_hint_time(min, key->min);
        goim_hint_time(max, key->max);

    } else if (key->type == CONF_SIZE) {
        goim_hint_size(min, key->min);
        goim_hint_size(max, key->max);

    } else {
        snprintf(min, sizeof(min), "%lld", (long long) key->min);
        snprintf(max, sizeof(max), "%lld", (long long) key->max);
    }

    if (key->min == 0 && key->max == 0) {
        snprintf(err, size, "is not %s", what);

    } else {
        snprintf(err, size, "is not %s from %s to %s", what, min, max);
    }

    return -1;
}


static int
conf_refuse_word(const char *const *words, const char *value, char *err,
    size_t size)
{
    size_t  i, len;

    len = (size_t) snprintf(err, size, "is none of");

    for (i = 0; words[i] != NULL && len < size; i++) {
        len += (size_t) snprintf(err + len, size - len, "%s %s",
                                 i > 0 ? "," : "", words[i]);
    }

    conf_hint(err, size, value, strlen(value), words);

    return -1;
}


void
conf_hint_name(char *err, size_t size, const goim_hint_t *hint)
{
    size_t  len;

    len = strlen(err);

    if (hint->name != NULL) {
        snprintf(err + len, size - len, ", did you mean \"%s\"?", hint->name);
    }
}


void
conf_hint(char *err, size_t size, const char *word, size_t len,
    const char *const *names)
{
    goim_hint_t  hint;

    goim_hint_init(&hint, word, len);

    for ( /* void */ ; *names != NULL; names++) {
        goim_hint_try(&hint, *names);
    }

    conf_hint_name(err, size, &hint);
}


static int
conf_set_int(const conf_key_t *key, int64_t *place, const char *value,
    char *err, size_t size)
{
    int          rc;
    int64_t      n;
    const char  *rest;

    if (key->type == CONF_INT) {
        rc = conf_int(value, &n, &rest);

        if (rc == 0 && *rest != '\0') {
            rc = -1;
        }

    } else {
        rc = conf_scaled(value, key->type == CONF_MSEC ? conf_times
                                                       : conf_sizes, &n);
    }

    if (rc != 0 || !conf_in_range(key, (double) n)) {
        return conf_refuse(key, key->type == CONF_INT ? "a number"
                                : key->type == CONF_MSEC
                                ? "a time (500ms, 5s, 10m, 1h, 2d)"
                                : "a size (4096, 64k, 1m, 1g)", err, size);
    }

    *place = n;

    return 0;
}


int
conf_set(const conf_key_t *key, void *conf, const char *value, char *err,
    size_t size)
{
    char    *text, why[128];
    void    *place;
    size_t   i;
    double   d;

    place = (char *) conf + key->offset;

    switch (key->type) {

    case CONF_STR:
        *(char **) place = conf_dup(value);
        return 0;

    case CONF_FILE:
        if (value[0] == '\0') {
            *(char **) place = conf_dup("");
            return 0;
        }

        text = conf_file(value, why, sizeof(why));
        if (text == NULL) {
            snprintf(err, size, "cannot be read: %s", why);
            return -1;
        }

        *(char **) place = text;
        return 0;

    case CONF_BOOL:
        if (strcmp(value, "on") == 0 || strcmp(value, "1") == 0) {
            *(int *) place = 1;

        } else if (strcmp(value, "off") == 0 || strcmp(value, "0") == 0) {
            *(int *) place = 0;

        } else {
            snprintf(err, size, "is none of on, off, 1, 0");
            return -1;
        }

        return 0;

    case CONF_NUM:
        if (conf_double(value, &d) != 0 || !conf_in_range(key, d)) {
            return conf_refuse(key, "a decimal number", err, size);
        }

        *(double *) place = d;
        return 0;

    case CONF_WORD:
        if (value[0] == '\0' && key->def[0] == '\0') {
            *(char **) place = conf_dup("");
            return 0;
        }

        for (i = 0; key->words[i] != NULL; i++) {
            if (strcmp(value, key->words[i]) == 0) {
                *(char **) place = conf_dup(value);
                return 0;
            }
        }

        return conf_refuse_word(key->words, value, err, size);

    default:
        return conf_set_int(key, place, value, err, size);
    }
}


int
conf_addr(const char *value, char *host, size_t size, uint16_t *port)
{
    size_t       len;
    int64_t      n;
    const char  *rest, *start, *colon;

    start = value;

    if (value[0] == '[') {
        start = value + 1;
        colon = strchr(start, ']');

        if (colon == NULL || colon == start || colon[1] != ':') {
            return -1;
        }

        len = (size_t) (colon - start);
        colon++;

    } else {
        colon = strchr(value, ':');

        if (colon == NULL || strchr(colon + 1, ':') != NULL) {
            return -1;
        }

        len = (size_t) (colon - start);
    }

    if (len >= size || strcspn(start, " \t/") < len) {
        return -1;
    }

    if (conf_int(colon + 1, &n, &rest) != 0 || *rest != '\0' || n < 1
        || n > 65535)
    {
        return -1;
    }

    memcpy(host, start, len);
    host[len] = '\0';
    *port = (uint16_t) n;

    return 0;
}
