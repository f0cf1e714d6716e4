/*
 * The query of a request: name=value pairs, percent-decoded.
 */

#ifndef LOGIC_QUERY_H
#define LOGIC_QUERY_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char  *name;
    const char  *value;
    size_t       len;           /* of value; a NUL follows */
} logic_arg_t;

typedef struct {
    logic_arg_t  *args;
    size_t        nargs;
    char         *text;         /* what the pairs point into */
} logic_query_t;

/*
 * Parse what follows the "?" (NULL: none). -1 with a message in err: more
 * than max pairs, a broken escape, or a NUL byte.
 */
int logic_query_parse(logic_query_t *q, const char *raw, size_t max,
    char *err, size_t size);

void logic_query_free(logic_query_t *q);

/* The first of that name; NULL: none. */
const logic_arg_t *logic_query_find(const logic_query_t *q,
    const char *name);

size_t logic_query_count(const logic_query_t *q, const char *name);

/*
 * A decimal number, whole; an empty one counts as 0, as with goim.
 * -1: no number, or out of range.
 */
int logic_query_number(const logic_arg_t *arg, int64_t min, int64_t max,
    int64_t *value);

#endif
