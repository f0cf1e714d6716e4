/*
 * Parameters, of a query or a form: name=value pairs, percent-decoded.
 */

#ifndef LOGIC_QUERY_H
#define LOGIC_QUERY_H

#include <stddef.h>
#include <stdint.h>

#include "keys.h"

typedef struct {
    const char  *name;
    const char  *value;
    size_t       len;           /* of value; a NUL follows */
} logic_arg_t;

typedef struct {
    logic_arg_t  *args;
    size_t        nargs;
    const char   *msg;          /* of a push: the body, or a form's field */
    size_t        msg_len;

    const logic_apikey_t  *key;     /* the caller's; NULL: not limited */
} logic_query_t;

/* The one parameter that may hold any bytes. */
#define LOGIC_QUERY_MSG  "msg"

/* How many pairs there may be in it. */
size_t logic_query_pairs(const char *text, size_t len);

/*
 * Parse text in place; a NUL follows it. args has room for its pairs. -1 with
 * a message in err: a broken escape, a NUL byte, or "name[]" of a list.
 */
int logic_query_parse(logic_query_t *q, char *text, size_t len,
    logic_arg_t *args, char *err, size_t size);

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
