/*
 * The services' log.
 */

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>


#define LOG_LINE  4096


const char *const  log_names[] = {
    "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug", NULL
};

static int          log_fd = STDERR_FILENO;
static log_level_t  log_max = LOG_NOTICE;
static char         log_path[4096];


static int
log_open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}


int
log_level(const char *name)
{
    size_t  i;

    for (i = 0; log_names[i] != NULL; i++) {
        if (strcmp(name, log_names[i]) == 0) {
            return (int) i;
        }
    }

    return -1;
}


int
log_open(const char *path, log_level_t level)
{
    int  fd;

    if (path == NULL || path[0] == '\0' || strcmp(path, "stderr") == 0) {
        log_max = level;
        return 0;
    }

    if (strlen(path) >= sizeof(log_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    fd = log_open_file(path);
    if (fd == -1) {
        return -1;
    }

    if (log_fd != STDERR_FILENO) {
        close(log_fd);
    }

    strcpy(log_path, path);
    log_fd = fd;
    log_max = level;

    return 0;
}


int
log_reopen(void)
{
    int  fd, rc;

    if (log_path[0] == '\0') {
        return 0;
    }

    fd = log_open_file(log_path);
    if (fd == -1) {
        log_write(LOG_ERROR, "log \"%s\": cannot open again: %s", log_path,
                  strerror(errno));
        return -1;
    }

    /* the number stays the same, so no other thread can write to a gap */

    rc = dup3(fd, log_fd, O_CLOEXEC) == -1 ? -1 : 0;

    if (rc == -1) {
        log_write(LOG_ERROR, "log \"%s\": cannot open again: %s", log_path,
                  strerror(errno));
    }

    close(fd);

    return rc;
}


/*
 * Text as it may be shown; *text moves on to what has no place. Escaped are
 * what is not printable ASCII, which would make up lines or play with the
 * terminal, and the characters in `more`.
 */
static size_t
log_escape(char *out, size_t size, const char **text, const char *more)
{
    size_t         n;
    unsigned char  ch;

    for (n = 0; **text != '\0' && n + 5 < size; (*text)++) {
        ch = (unsigned char) **text;

        if (ch >= 0x20 && ch < 0x7f && strchr(more, ch) == NULL) {
            out[n++] = (char) ch;

        } else {
            n += (size_t) snprintf(out + n, size - n, "\\x%02X", ch);
        }
    }

    return n;
}


const char *
log_text(log_text_t *t, const char *text)
{
    size_t  n;

    n = log_escape(t->s, sizeof(t->s) - 3, &text, "\"\\");
    strcpy(t->s + n, *text != '\0' ? "..." : "");

    return t->s;
}


static void
log_line(log_level_t level, const char *text)
{
    char       line[LOG_LINE];
    size_t     n;
    time_t     now;
    ssize_t    rc;
    struct tm  tm;

    now = time(NULL);
    localtime_r(&now, &tm);

    n = strftime(line, sizeof(line), "%Y/%m/%d %H:%M:%S", &tm);
    n += (size_t) snprintf(line + n, sizeof(line) - n, " [%s] %d: ",
                           log_names[level], (int) getpid());
    n += log_escape(line + n, sizeof(line) - n - 1, &text, "");
    line[n++] = '\n';

    do {
        rc = write(log_fd, line, n);
    } while (rc == -1 && errno == EINTR);
}


void
log_write(log_level_t level, const char *fmt, ...)
{
    char     text[LOG_LINE];
    va_list  args;

    if (level > log_max) {
        return;
    }

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    log_line(level, text);
}


void
log_seldom(log_once_t *state, log_level_t level, const char *fmt, ...)
{
    int              n;
    char             text[LOG_LINE];
    long             at;
    va_list          args;
    unsigned long    held;
    struct timespec  ts;

    if (level > log_max) {
        return;
    }

    clock_gettime(CLOCK_MONOTONIC, &ts);

    at = __atomic_load_n(&state->at, __ATOMIC_RELAXED);

    /* 0 is "never"; a clock that stands at 0 has just been started */

    if ((at != 0 && ts.tv_sec - at < 60)
        || !__atomic_compare_exchange_n(&state->at, &at, (long) ts.tv_sec + 1,
                                        0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
    {
        __atomic_add_fetch(&state->held, 1, __ATOMIC_RELAXED);
        return;
    }

    held = __atomic_exchange_n(&state->held, 0, __ATOMIC_RELAXED);

    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    if (held != 0 && n >= 0 && (size_t) n < sizeof(text)) {
        snprintf(text + n, sizeof(text) - (size_t) n,
                 " (and %lu more like this)", held);
    }

    log_line(level, text);
}
