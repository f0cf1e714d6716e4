/*
 * The members of a JSON object as they stand, without judging their values
 * beyond the grammar: numbers of any size, strings of any bytes. What Go's
 * decoder takes is taken, and so deep.
 */

#ifndef LOGIC_JSON_H
#define LOGIC_JSON_H

#include <stddef.h>

#define LOGIC_JSON_DEPTH  10000

typedef enum {
    LOGIC_JSON_BAD, LOGIC_JSON_OBJECT, LOGIC_JSON_NULL, LOGIC_JSON_OTHER
} logic_json_t;

/* A member: its name without quotes, escapes not resolved, and its value's
 * text. Not 0: enough, and the answer is LOGIC_JSON_BAD. */
typedef int (*logic_json_pt)(const char *name, size_t name_len,
    const char *value, size_t len, void *data);

/* What the text is. Members are told in their order, duplicates too. */
logic_json_t logic_json_scan(const void *text, size_t len,
    logic_json_pt member, void *data);

#endif
