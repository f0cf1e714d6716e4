/*
 * Parameters.
 */

#include "query.h"

#include <stdio.h>
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
logic_query_decode(char *p, char *end, int any, const char **reason)
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

            if (*p == '\0' && !any) {
                *reason = "a NUL byte";
                return -1;
            }

            *out++ = *p++;
            continue;
        }

        high = end - p < 3 ? -1 : logic_query_hex(p[1]);
        low = end - p < 3 ? -1 : logic_query_hex(p[2]);

        if (high < 0 || low < 0) {
            *reason = "a broken % escape";
            return -1;
        }

        if (high == 0 && low == 0 && !any) {
            *reason = "a NUL byte";
            return -1;
        }

        *out++ = (char) (high << 4 | low);
        p += 3;
    }

    *out = '\0';

    return out - start;
}


/* As PHP and others write lists; who does would not be told otherwise. */

static int
logic_query_brackets(const char *name, size_t len)
{
    size_t  i;

    static const char *const  lists[] = { "keys", "mids", "rooms" };

    if (len < 2 || name[len - 1] != ']') {
        return 0;
    }

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (strncmp(name, lists[i], strlen(lists[i])) == 0
            && name[strlen(lists[i])] == '[')
        {
            return 1;
        }
    }

    return 0;
}


size_t
logic_query_pairs(const char *text, size_t len)
{
    size_t       n;
    const char  *p, *end;

    end = text + len;

    for (n = 1, p = text; (p = memchr(p, '&', (size_t) (end - p))); p++) {
        n++;
    }

    return n;
}


static int
logic_query_pair(logic_arg_t *arg, char *p, char *end, char *err,
    size_t size)
{
    char        *eq;
    ssize_t      len;
    const char  *reason;

    eq = memchr(p, '=', (size_t) (end - p));
    len = logic_query_decode(p, eq != NULL ? eq : end, 0, &reason);

    if (len == -1) {
        snprintf(err, size, "%s in a parameter's name", reason);
        return -1;
    }

    if (logic_query_brackets(p, (size_t) len)) {
        snprintf(err, size, "%s: a list is its parameter repeated, without "
                 "brackets", p);
        return -1;
    }

    arg->name = p;
    arg->value = "";
    arg->len = 0;

    if (eq == NULL) {
        return 0;
    }

    len = logic_query_decode(eq + 1, end, strcmp(p, LOGIC_QUERY_MSG) == 0,
                             &reason);

    if (len == -1) {
        snprintf(err, size, "%s: %s", arg->name, reason);
        return -1;
    }

    arg->value = eq + 1;
    arg->len = (size_t) len;

    return 0;
}


int
logic_query_parse(logic_query_t *q, char *text, size_t len,
    logic_arg_t *args, char *err, size_t size)
{
    char  *p, *end, *last;

    memset(q, 0, sizeof(*q));

    q->args = args;
    last = text + len;

    for (p = text; p < last; p = end + 1) {
        end = memchr(p, '&', (size_t) (last - p));

        if (end == NULL) {
            end = last;
        }

        if (p == end) {
            continue;
        }

        if (logic_query_pair(&q->args[q->nargs++], p, end, err, size) != 0) {
            return -1;
        }
    }

    return 0;
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
