/*
 * The query of a request.
 */

#include "query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int
logic_query_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}


/*
 * Decode [p, end) in place and end it with a NUL: there is always a byte for
 * it, the separator's. Returns the length, or -1 with the reason.
 */

static ssize_t
logic_query_decode(char *p, char *end, const char **reason)
{
    int    high, low;
    char  *start, *out;

    start = p;
    out = p;

    while (p < end) {

        if (*p == '+') {
            *out++ = ' ';
            p++;
            continue;
        }

        if (*p != '%') {
            *out++ = *p++;
            continue;
        }

        high = end - p < 3 ? -1 : logic_query_hex(p[1]);
        low = end - p < 3 ? -1 : logic_query_hex(p[2]);

        if (high < 0 || low < 0) {
            *reason = "a broken % escape";
            return -1;
        }

        if (high == 0 && low == 0) {
            *reason = "a NUL byte";
            return -1;
        }

        *out++ = (char) (high << 4 | low);
        p += 3;
    }

    *out = '\0';

    return out - start;
}


int
logic_query_parse(logic_query_t *q, const char *raw, size_t max, char *err,
    size_t size)
{
    char         *p, *end, *next, *eq;
    size_t        n;
    ssize_t       len;
    const char   *reason;
    logic_arg_t  *arg;

    memset(q, 0, sizeof(*q));

    if (raw == NULL || raw[0] == '\0') {
        return 0;
    }

    n = 1;

    for (reason = raw; (reason = strchr(reason, '&')) != NULL; reason++) {
        n++;
    }

    if (n > max) {
        snprintf(err, size, "the query has %zu parameters, more than %zu",
                 n, max);
        return -1;
    }

    q->args = calloc(n, sizeof(logic_arg_t));
    q->text = strdup(raw);

    if (q->args == NULL || q->text == NULL) {
        snprintf(err, size, "no memory");
        goto failed;
    }

    for (p = q->text; p != NULL; p = next) {
        next = strchr(p, '&');
        end = next != NULL ? next++ : p + strlen(p);

        if (p == end) {
            continue;
        }

        arg = &q->args[q->nargs++];
        eq = memchr(p, '=', (size_t) (end - p));

        if (logic_query_decode(p, eq != NULL ? eq : end, &reason) == -1) {
            snprintf(err, size, "%s in the query", reason);
            goto failed;
        }

        arg->name = p;
        arg->value = "";

        if (eq == NULL) {
            continue;
        }

        len = logic_query_decode(eq + 1, end, &reason);

        if (len == -1) {
            snprintf(err, size, "%s: %s", arg->name, reason);
            goto failed;
        }

        arg->value = eq + 1;
        arg->len = (size_t) len;
    }

    return 0;

failed:

    logic_query_free(q);

    return -1;
}


void
logic_query_free(logic_query_t *q)
{
    free(q->args);
    free(q->text);

    memset(q, 0, sizeof(*q));
}


const logic_arg_t *
logic_query_find(const logic_query_t *q, const char *name)
{
    size_t  i;

    for (i = 0; i < q->nargs; i++) {
        if (strcmp(q->args[i].name, name) == 0) {
            return &q->args[i];
        }
    }

    return NULL;
}


size_t
logic_query_count(const logic_query_t *q, const char *name)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < q->nargs; i++) {
        n += strcmp(q->args[i].name, name) == 0;
    }

    return n;
}


int
logic_query_number(const logic_arg_t *arg, int64_t min, int64_t max,
    int64_t *value)
{
    int          negative;
    int64_t      n;
    const char  *p;

    p = arg->value;
    negative = *p == '-';

    if (*p == '-' || *p == '+') {
        p++;

        if (*p == '\0') {
            return -1;
        }
    }

    /* counted downwards, so that INT64_MIN has its place */

    for (n = 0; *p != '\0'; p++) {

        if (*p < '0' || *p > '9'
            || __builtin_mul_overflow(n, 10, &n)
            || __builtin_sub_overflow(n, *p - '0', &n))
        {
            return -1;
        }
    }

    if (!negative) {
        if (n == INT64_MIN) {
            return -1;
        }

        n = -n;
    }

    if (n < min || n > max) {
        return -1;
    }

    *value = n;

    return 0;
}
