/*
 * What is said of a wrong value in a configuration, by the module and the
 * services alike: the name that may have been meant, and numbers with their
 * unit.
 */

#ifndef GOIM_HINT_H
#define GOIM_HINT_H

#include <stddef.h>
#include <stdint.h>

/* Of all names that were tried the one nearest to a word: letters changed,
   left out, put in, or two of them in the wrong order; case does not count. */
typedef struct {
    const char  *word;
    size_t       len;
    size_t       distance;
    const char  *name;          /* NULL: none is near */
} goim_hint_t;

void goim_hint_init(goim_hint_t *hint, const char *word, size_t len);
void goim_hint_try(goim_hint_t *hint, const char *name);

/* As configurations have it, in the largest unit that is exact: "90s", "1h";
   "1k", "512k", but no "1g", which nginx does not take. `text` is returned. */
#define GOIM_HINT_NUMBER  24

char *goim_hint_time(char text[GOIM_HINT_NUMBER], int64_t ms);
char *goim_hint_size(char text[GOIM_HINT_NUMBER], int64_t bytes);

#endif
