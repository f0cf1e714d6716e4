/*
 * Configuration files: libinih reads, this checks against the table.
 */

#include "conf_int.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>


#define CONF_LINE_MAX    198                /* what libinih's buffer takes */
#define CONF_VALUE_MAX   (64 * 1024)


/* A key of a free section that was given. */
typedef struct conf_given_s {
    struct conf_given_s  *next;
    char                 *section;
    char                 *name;
    int                   line;
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

    int                  *seen;         /* the line of a row of the table */
    conf_given_t         *given;

    int                   error_line;   /* 0: none */
    char                  error[CONF_ERROR_MAX];
} conf_parse_t;


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
    g->line = p->at;
    g->next = p->given;
    p->given = g;

    err[0] = '\0';

    if (f->add(p->conf, p->name, p->value, err, sizeof(err)) != 0) {
        conf_fail(p, p->at, "[%s] %s = \"%.64s\": %s", p->section, p->name,
                  p->value, err);
    }
}


static void conf_unknown(conf_parse_t *p, int known);

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

        p->seen[i] = p->at;

        if (conf_set(key, p->conf, p->value, err, sizeof(err)) != 0) {
            conf_fail(p, p->at, "[%s] %s = \"%.64s\" %s", p->section,
                      p->name, p->value, err);
        }

        return;
    }

    f = conf_free_section(p->schema, p->section);

    if (f != NULL) {
        conf_take_free(p, f);

    } else {
        conf_unknown(p, known);
    }
}


static void
conf_unknown(conf_parse_t *p, int known)
{
    char                err[CONF_ERROR_MAX / 2];
    goim_hint_t         hint;
    const char         *word;
    const conf_key_t   *key;
    const conf_free_t  *f;

    if (p->section[0] == '\0') {
        conf_fail(p, p->at, "\"%.64s\" stands before the first [section]",
                  p->name);
        return;
    }

    word = known ? p->name : p->section;
    goim_hint_init(&hint, word, strlen(word));

    for (key = p->schema->keys; key->section != NULL; key++) {
        if (!known) {
            goim_hint_try(&hint, key->section);

        } else if (strcmp(key->section, p->section) == 0) {
            goim_hint_try(&hint, key->name);
        }
    }

    for (f = p->schema->free; !known && f != NULL && f->section != NULL; f++) {
        goim_hint_try(&hint, f->section);
    }

    if (known) {
        snprintf(err, sizeof(err), "[%s] has no key \"%.64s\"", p->section,
                 p->name);

    } else {
        snprintf(err, sizeof(err), "there is no section \"%.64s\"",
                 p->section);
    }

    conf_hint_name(err, sizeof(err), &hint);
    conf_fail(p, p->at, "%s", err);
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

        if (conf_set(key, p->conf, key->def, why, sizeof(why)) != 0) {
            snprintf(err, size, "default of [%s] %s: \"%s\" %s",
                     key->section, key->name, key->def, why);
            return -1;
        }
    }

    return 0;
}


/* Whether a message begins with this key; or, `far`, with its section, and
 * names it somewhere. */
static int
conf_told(const char *message, const char *section, const char *name, int far)
{
    size_t  len, n;

    len = strlen(section);
    n = strlen(name);

    if (message[0] != '[' || strncmp(message + 1, section, len) != 0
        || message[len + 1] != ']')
    {
        return 0;
    }

    message += len + 2;

    return far ? strstr(message, name) != NULL
               : message[0] == ' ' && strncmp(message + 1, name, n) == 0
                 && strchr(" :", message[n + 1]) != NULL;
}


/* The line that a message is about; 0: the file has none. */
static int
conf_line(const conf_parse_t *p, const char *message)
{
    int                  far;
    size_t               i;
    const conf_key_t    *key;
    const conf_given_t  *g;

    for (far = 0; far < 2; far++) {

        for (i = 0; p->schema->keys[i].section != NULL; i++) {
            key = &p->schema->keys[i];

            if (p->seen[i]
                && conf_told(message, key->section, key->name, far))
            {
                return p->seen[i];
            }
        }

        for (g = p->given; g != NULL; g = g->next) {
            if (conf_told(message, g->section, g->name, far)) {
                return g->line;
            }
        }
    }

    return 0;
}


static int
conf_check(conf_parse_t *p, char *err, size_t size)
{
    int   line;
    char  why[CONF_ERROR_MAX];

    if (p->schema->check == NULL
        || p->schema->check(p->conf, why, sizeof(why)) == 0)
    {
        return 0;
    }

    line = conf_line(p, why);

    if (line != 0) {
        snprintf(err, size, "%s:%d: %s", p->path, line, why);

    } else {
        snprintf(err, size, "%s: %s", p->path != NULL ? p->path
                                                      : "configuration", why);
    }

    return -1;
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

    p.seen = calloc(n + 1, sizeof(int));
    if (p.seen == NULL) {
        abort();
    }

    rc = (path != NULL) ? conf_parse(&p, err, size) : 0;

    if (rc == 0) {
        rc = conf_defaults(&p, err, size);
    }

    if (rc == 0) {
        rc = conf_check(&p, err, size);
    }

    conf_parse_free(&p);

    return rc;
}
