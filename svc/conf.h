/*
 * Configuration files of logic and job: INI by libinih, checked against a
 * table. An unknown section or key, a key given twice, a value that does not
 * parse or is out of range, and a line libinih cannot take are errors which
 * name file, line, key and value, what the value may be, and the name that may
 * have been meant.
 */

#ifndef SVC_CONF_H
#define SVC_CONF_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    CONF_STR,       /* char *: never NULL, "" when unset */
    CONF_INT,       /* int64_t, min..max */
    CONF_MSEC,      /* int64_t, milliseconds; 500ms 5s 10m 1h 2d; bare: s */
    CONF_SIZE,      /* int64_t, bytes; 64k 1m 1g */
    CONF_BOOL,      /* int: on or 1, off or 0 */
    CONF_NUM,       /* double, min..max */
    CONF_WORD,      /* char *: one of `words`; or "" if that is the default */
    CONF_FILE       /* char *: the value names a file, its contents (less
                       the last newline) are kept: secrets */
} conf_type_t;

typedef struct {
    const char   *section;
    const char   *name;
    conf_type_t   type;
    size_t        offset;       /* in the caller's structure */
    const char   *def;          /* as in the file */
    int64_t       min;          /* both 0: any */
    int64_t       max;

    const char *const  *words;  /* CONF_WORD: the allowed ones, NULL */
} conf_key_t;

/* A section whose keys are free ([kafka], [regions]); -1 and *err: refused */
typedef struct {
    const char   *section;
    int         (*add)(void *conf, const char *name, const char *value,
                       char *err, size_t size);
} conf_free_t;

typedef struct {
    const conf_key_t   *keys;       /* ends with section NULL */
    const conf_free_t  *free;       /* ends with section NULL; may be NULL */

    /* Beyond the table; may be NULL. -1: the message begins with "[section]
     * key"; the line of that key, or of another one of the section that it
     * names, is then said with it. No network. */
    int               (*check)(void *conf, char *err, size_t size);
} conf_schema_t;

/*
 * Defaults, then the file. path NULL: defaults alone. 0, or -1 with a
 * one-line message in err. Strings are malloc()ed and live as long as the
 * process.
 */
int conf_load(const char *path, const conf_schema_t *schema, void *conf,
    char *err, size_t size);

/* Appends `, did you mean "NAME"?` if one of `names`, which ends with NULL, is
 * near to the word. */
void conf_hint(char *err, size_t size, const char *word, size_t len,
    const char *const *names);

/* A file's contents as CONF_FILE takes them, malloc()ed; NULL with a
 * message. */
char *conf_file(const char *path, char *err, size_t size);

/* "500ms", "5s", "10m", "1h", "2d", "5" (s) -> ms; -1: not a time */
int conf_msec(const char *value, int64_t *ms);

/* "host:port", "[::1]:port", ":port" -> parts; -1: not an address */
int conf_addr(const char *value, char *host, size_t size, uint16_t *port);

#endif
