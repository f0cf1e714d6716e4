/*
 * Configuration files: libinih reads, this checks against the table.
 */

#include "conf.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>


#define CONF_LINE_MAX    198                /* what libinih's buffer takes */
#define CONF_FILE_MAX    (1024 * 1024)      /* of a CONF_FILE */
#define CONF_VALUE_MAX   (64 * 1024)
#define CONF_ERROR_MAX   512


/* A key of a free section that was given. */
typedef struct conf_given_s {
    struct conf_given_s  *next;
    char                 *section;
    char                 *name;
} conf_given_t;

/*
 * A value may go on on indented lines, for which libinih calls the handler
 * again, so a key is taken when the next one, or the end, is seen.
 */
typedef struct {
    const char           *path;
    const conf_schema_t  *schema;
    void                 *conf;
    FILE                 *file;
    char                 *buf;          /* getline()'s */
    size_t                size;

    int                   line;         /* being read */
    int                   indented;

    char                 *section;      /* the key not taken yet */
    char                 *name;
    char                 *value;
    int                   at;

    unsigned char        *seen;         /* a byte a row of the table */
    conf_given_t         *given;

    int                   error_line;   /* 0: none */
    char                  error[CONF_ERROR_MAX];
} conf_parse_t;


static char *
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


/* What a value of this type looks like, for the message. */
static const char *
conf_expected(conf_type_t type)
{
    switch (type) {

    case CONF_INT:
        return "a number";

    case CONF_MSEC:
        return "a time (500ms, 5s, 10m, 1h, 2d)";

    case CONF_SIZE:
        return "a size (4096, 64k, 1m, 1g)";

    case CONF_BOOL:
        return "\"on\" or \"off\"";

    default:
        return "a decimal number";
    }
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

    if (rc != 0) {
        snprintf(err, size, "is not %s", conf_expected(key->type));
        return -1;
    }

    if (!conf_in_range(key, (double) n)) {
        snprintf(err, size, "is out of range (%lld to %lld%s)",
                 (long long) key->min, (long long) key->max,
                 key->type == CONF_MSEC ? " ms" : "");
        return -1;
    }

    *place = n;

    return 0;
}


static int
conf_set(const conf_key_t *key, void *conf, const char *value, char *err,
    size_t size)
{
    char    *text, why[128];
    void    *place;
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
        if (strcmp(value, "on") == 0) {
            *(int *) place = 1;

        } else if (strcmp(value, "off") == 0) {
            *(int *) place = 0;

        } else {
            snprintf(err, size, "is not %s", conf_expected(CONF_BOOL));
            return -1;
        }

        return 0;

    case CONF_NUM:
        if (conf_double(value, &d) != 0) {
            snprintf(err, size, "is not %s", conf_expected(CONF_NUM));
            return -1;
        }

        if (!conf_in_range(key, d)) {
            snprintf(err, size, "is out of range (%lld to %lld)",
                     (long long) key->min, (long long) key->max);
            return -1;
        }

        *(double *) place = d;
        return 0;

    default:
        return conf_set_int(key, place, value, err, size);
    }
}


static void __attribute__((format(printf, 3, 4)))
conf_fail(conf_parse_t *p, int line, const char *fmt, ...)
{
    va_list  args;

    if (p->error_line != 0) {
        return;
    }

    va_start(args, fmt);
    vsnprintf(p->error, sizeof(p->error), fmt, args);
    va_end(args);

    p->error_line = line;
}


static const conf_free_t *
conf_free_section(const conf_schema_t *schema, const char *section)
{
    const conf_free_t  *f;

    for (f = schema->free; f != NULL && f->section != NULL; f++) {
        if (strcmp(f->section, section) == 0) {
            return f;
        }
    }

    return NULL;
}


static void
conf_take_free(conf_parse_t *p, const conf_free_t *f)
{
    char           err[CONF_ERROR_MAX / 2];
    conf_given_t  *g;

    for (g = p->given; g != NULL; g = g->next) {
        if (strcmp(g->section, p->section) == 0
            && strcmp(g->name, p->name) == 0)
        {
            conf_fail(p, p->at, "[%s] %s is given twice", p->section,
                      p->name);
            return;
        }
    }

    g = malloc(sizeof(conf_given_t));
    if (g == NULL) {
        abort();
    }

    g->section = conf_dup(p->section);
    g->name = conf_dup(p->name);
    g->next = p->given;
    p->given = g;

    err[0] = '\0';

    if (f->add(p->conf, p->name, p->value, err, sizeof(err)) != 0) {
        conf_fail(p, p->at, "[%s] %s = \"%.64s\": %s", p->section, p->name,
                  p->value, err);
    }
}


static void
conf_take_key(conf_parse_t *p)
{
    int                 known;
    char                err[CONF_ERROR_MAX / 2];
    size_t              i;
    const conf_key_t   *key;
    const conf_free_t  *f;

    known = 0;

    for (i = 0; p->schema->keys[i].section != NULL; i++) {
        key = &p->schema->keys[i];

        if (strcmp(key->section, p->section) != 0) {
            continue;
        }

        known = 1;

        if (strcmp(key->name, p->name) != 0) {
            continue;
        }

        if (p->seen[i]) {
            conf_fail(p, p->at, "[%s] %s is given twice", p->section,
                      p->name);
            return;
        }

        p->seen[i] = 1;

        if (conf_set(key, p->conf, p->value, err, sizeof(err)) != 0) {
            conf_fail(p, p->at, "[%s] %s = \"%.64s\" %s", p->section,
                      p->name, p->value, err);
        }

        return;
    }

    f = conf_free_section(p->schema, p->section);

    if (f != NULL) {
        conf_take_free(p, f);

    } else if (known) {
        conf_fail(p, p->at, "[%s] has no key \"%s\"", p->section, p->name);

    } else if (p->section[0] == '\0') {
        conf_fail(p, p->at, "\"%s\" stands before the first [section]",
                  p->name);

    } else {
        conf_fail(p, p->at, "there is no section [%s]", p->section);
    }
}


/* The key that was being collected is complete. */
static void
conf_take(conf_parse_t *p)
{
    if (p->name == NULL) {
        return;
    }

    if (p->error_line == 0) {
        conf_take_key(p);
    }

    free(p->section);
    free(p->name);
    free(p->value);

    p->section = NULL;
    p->name = NULL;
    p->value = NULL;
}


static int
conf_handler(void *data, const char *section, const char *name,
    const char *value)
{
    char          *joined;
    size_t         n, len;
    conf_parse_t  *p;

    p = data;

    if (p->indented && p->name != NULL && strcmp(section, p->section) == 0
        && strncmp(name, p->name, strlen(name)) == 0)
    {
        n = strlen(p->value);
        len = strlen(value);

        if (n + len > CONF_VALUE_MAX) {
            conf_fail(p, p->line, "the value of [%s] %s is too long",
                      p->section, p->name);
            return 0;
        }

        joined = realloc(p->value, n + len + 1);
        if (joined == NULL) {
            abort();
        }

        memcpy(joined + n, value, len + 1);
        p->value = joined;

        return 1;
    }

    conf_take(p);

    if (p->error_line != 0) {
        return 0;
    }

    p->section = conf_dup(section);
    p->name = conf_dup(name);
    p->value = conf_dup(value);
    p->at = p->line;

    return 1;
}


/*
 * libinih cuts longer lines silently into two, so it is given only lines
 * that fit; NULL ends the parsing.
 */
static char *
conf_reader(char *str, int num, void *data)
{
    ssize_t        n;
    conf_parse_t  *p;

    p = data;

    if (p->error_line != 0) {
        return NULL;
    }

    n = getline(&p->buf, &p->size, p->file);

    if (n == -1) {
        if (ferror(p->file)) {
            conf_fail(p, p->line + 1, "%s", strerror(errno));
        }

        return NULL;
    }

    p->line++;

    if (memchr(p->buf, '\0', (size_t) n) != NULL) {
        conf_fail(p, p->line, "the line contains a zero byte");
        return NULL;
    }

    if (n > CONF_LINE_MAX || n + 1 > num) {
        conf_fail(p, p->line, "the line is longer than %d bytes; a value "
                  "may continue on indented lines", CONF_LINE_MAX);
        return NULL;
    }

    p->indented = (p->buf[0] == ' ' || p->buf[0] == '\t');

    memcpy(str, p->buf, (size_t) n + 1);

    return str;
}


static void
conf_parse_free(conf_parse_t *p)
{
    conf_given_t  *g;

    while (p->given != NULL) {
        g = p->given;
        p->given = g->next;
        free(g->section);
        free(g->name);
        free(g);
    }

    free(p->seen);
    free(p->buf);
}


static int
conf_parse(conf_parse_t *p, char *err, size_t size)
{
    int  rc;

    p->file = fopen(p->path, "re");
    if (p->file == NULL) {
        snprintf(err, size, "%s: %s", p->path, strerror(errno));
        return -1;
    }

    rc = ini_parse_stream(conf_reader, p, conf_handler, p);

    conf_take(p);

    fclose(p->file);

    if (rc < 0) {
        snprintf(err, size, "%s: out of memory", p->path);
        return -1;
    }

    /* libinih goes on after a line it cannot parse: the first one counts */

    if (rc > 0 && (p->error_line == 0 || rc < p->error_line)) {
        snprintf(err, size, "%s:%d: neither \"[section]\" nor "
                 "\"key = value\"", p->path, rc);
        return -1;
    }

    if (p->error_line != 0) {
        snprintf(err, size, "%s:%d: %s", p->path, p->error_line, p->error);
        return -1;
    }

    return 0;
}


/* Keys the file did not give. */
static int
conf_defaults(conf_parse_t *p, char *err, size_t size)
{
    char               why[CONF_ERROR_MAX / 2];
    size_t             i;
    const conf_key_t  *key;

    for (i = 0; p->schema->keys[i].section != NULL; i++) {
        key = &p->schema->keys[i];

        if (p->seen[i]) {
            continue;
        }

        if (key->def == NULL) {
            snprintf(err, size, "%s: [%s] %s is missing",
                     p->path != NULL ? p->path : "configuration",
                     key->section, key->name);
            return -1;
        }

        if (conf_set(key, p->conf, key->def, why, sizeof(why)) != 0) {
            snprintf(err, size, "default of [%s] %s: \"%s\" %s",
                     key->section, key->name, key->def, why);
            return -1;
        }
    }

    return 0;
}


int
conf_load(const char *path, const conf_schema_t *schema, void *conf,
    char *err, size_t size)
{
    int           rc;
    size_t        n;
    conf_parse_t  p;

    memset(&p, 0, sizeof(p));
    p.path = path;
    p.schema = schema;
    p.conf = conf;

    for (n = 0; schema->keys[n].section != NULL; n++) { /* void */ }

    p.seen = calloc(n + 1, 1);
    if (p.seen == NULL) {
        abort();
    }

    rc = (path != NULL) ? conf_parse(&p, err, size) : 0;

    if (rc == 0) {
        rc = conf_defaults(&p, err, size);
    }

    conf_parse_free(&p);

    return rc;
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
