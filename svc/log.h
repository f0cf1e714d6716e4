/*
 * The services' log: one line an event, to stderr or to a file.
 *
 *     2026/11/21 04:25:37 [warn] 1234: redis 127.0.0.1:6379: ...
 *
 * Safe to call from every thread. A line is one write(2), in printable ASCII:
 * all else is shown as \xNN, so nothing from outside makes a line of its own.
 */

#ifndef SVC_LOG_H
#define SVC_LOG_H

typedef enum {
    LOG_EMERG = 0, LOG_ALERT, LOG_CRIT, LOG_ERROR, LOG_WARN, LOG_NOTICE,
    LOG_INFO, LOG_DEBUG
} log_level_t;

/* as configurations have them, by level; ends with NULL */
extern const char *const  log_names[];

/* "warn" -> LOG_WARN; -1: no such level */
int log_level(const char *name);

/* path NULL or "stderr": standard error. -1 with errno. */
int log_open(const char *path, log_level_t level);

/* SIGHUP: open the same path again (after logrotate). */
int log_reopen(void);

void log_write(log_level_t level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Text from outside that is not the end of its line: `"` and `\` are escaped
 * too, so that it does not end where it says, and it is cut if it is long.
 *
 *     log_text_t  t;
 *     log_write(LOG_WARN, "node \"%s\": gone", log_text(&t, server));
 */
#define LOG_TEXT  400
typedef struct { char s[LOG_TEXT]; } log_text_t;

const char *log_text(log_text_t *t, const char *text);

/*
 * At most one line a minute from each place; the next line says how many
 * were held back. `state` is a static of the caller.
 */
typedef struct { long at; unsigned long held; } log_once_t;

void log_seldom(log_once_t *state, log_level_t level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
