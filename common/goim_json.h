/*
 * The members of a JSON object as they stand, without judging their values
 * beyond the grammar: numbers of any size, strings of any bytes. What Go's
 * decoder takes is taken, and so deep.
 */

#ifndef GOIM_JSON_H
#define GOIM_JSON_H

#include <stddef.h>

#define GOIM_JSON_DEPTH  10000

typedef enum {
    GOIM_JSON_BAD, GOIM_JSON_OBJECT, GOIM_JSON_NULL, GOIM_JSON_OTHER
} goim_json_t;

/* A member: its name without quotes, escapes not resolved, and its value's
 * text. Not 0: enough, and the answer is GOIM_JSON_BAD. */
typedef int (*goim_json_pt)(const char *name, size_t name_len,
    const char *value, size_t len, void *data);

/* What the text is. Members are told in their order, duplicates too. */
goim_json_t goim_json_scan(const void *text, size_t len,
    goim_json_pt member, void *data);

/*
 * What a string says whose text (without quotes) was scanned: its length in
 * buf. -1: longer than size, or half a character of UTF-16. Bytes that are no
 * escapes are taken as they are.
 */
int goim_json_string(const char *text, size_t len, char *buf, size_t size);

/* The text of an object's last member of that name (at most 31 plain characters;
 * case does not matter) that is not null: its length. 0: there is none, or the
 * text is no object. */
size_t goim_json_member(const void *text, size_t len, const char *name,
    const char **value);

/* A string with its quotes to p, six bytes for each of s at most: the end.
 * Bytes that are not ASCII are written as they are. */
char *goim_json_write(char *p, const char *s, size_t len);

#endif
