/*
 * A scanner of JSON: grammar, nothing else.
 */

#include "json.h"

#include <ctype.h>
#include <string.h>


typedef struct {
    const char  *p;
    const char  *end;
} logic_scan_t;


static int logic_scan_members(logic_scan_t *s, logic_json_pt member,
    void *data);
static int logic_scan_value(logic_scan_t *s);
static int logic_scan_scalar(logic_scan_t *s);
static int logic_scan_name(logic_scan_t *s);
static int logic_scan_string(logic_scan_t *s);
static int logic_scan_number(logic_scan_t *s);
static int logic_scan_digits(logic_scan_t *s);
static int logic_scan_word(logic_scan_t *s, const char *word);
static int logic_scan_char(logic_scan_t *s, char c);
static void logic_scan_blank(logic_scan_t *s);


logic_json_t
logic_json_scan(const void *text, size_t len, logic_json_pt member,
    void *data)
{
    int           rc;
    logic_json_t  what;
    logic_scan_t  s;

    s.p = text;
    s.end = s.p + len;

    logic_scan_blank(&s);

    what = s.p == s.end ? LOGIC_JSON_BAD
           : *s.p == '{' ? LOGIC_JSON_OBJECT
           : *s.p == 'n' ? LOGIC_JSON_NULL : LOGIC_JSON_OTHER;

    rc = what == LOGIC_JSON_OBJECT ? logic_scan_members(&s, member, data)
                                   : logic_scan_value(&s);

    logic_scan_blank(&s);

    return rc == 0 && s.p == s.end ? what : LOGIC_JSON_BAD;
}


static int
logic_scan_members(logic_scan_t *s, logic_json_pt member, void *data)
{
    size_t       n;
    const char  *name, *value;

    s->p++;
    logic_scan_blank(s);

    if (logic_scan_char(s, '}') == 0) {
        return 0;
    }

    do {
        logic_scan_blank(s);
        name = s->p + 1;

        if (logic_scan_string(s) != 0) {
            return -1;
        }

        n = (size_t) (s->p - 1 - name);
        logic_scan_blank(s);

        if (logic_scan_char(s, ':') != 0) {
            return -1;
        }

        logic_scan_blank(s);
        value = s->p;

        if (logic_scan_value(s) != 0
            || member(name, n, value, (size_t) (s->p - value), data) != 0)
        {
            return -1;
        }

        logic_scan_blank(s);

    } while (logic_scan_char(s, ',') == 0);

    return logic_scan_char(s, '}');
}


/* Not by recursion: a hostile text may be deep. */

static int
logic_scan_value(logic_scan_t *s)
{
    char    closer[LOGIC_JSON_DEPTH - 1];
    size_t  depth;

    depth = 0;

    for ( ;; ) {

        /* a value begins here */

        logic_scan_blank(s);

        if (s->p < s->end && (*s->p == '{' || *s->p == '[')) {

            if (depth == sizeof(closer)) {
                return -1;
            }

            closer[depth++] = *s->p++ == '{' ? '}' : ']';
            logic_scan_blank(s);

            if (s->p == s->end) {
                return -1;
            }

            if (*s->p != closer[depth - 1]) {

                if (closer[depth - 1] == '}' && logic_scan_name(s) != 0) {
                    return -1;
                }

                continue;
            }

        } else if (logic_scan_scalar(s) != 0) {
            return -1;
        }

        /* and has ended here, with all that end with it */

        for ( ;; ) {

            if (depth == 0) {
                return 0;
            }

            logic_scan_blank(s);

            if (logic_scan_char(s, closer[depth - 1]) != 0) {
                break;
            }

            depth--;
        }

        if (logic_scan_char(s, ',') != 0
            || (closer[depth - 1] == '}' && logic_scan_name(s) != 0))
        {
            return -1;
        }
    }
}


static int
logic_scan_scalar(logic_scan_t *s)
{
    if (s->p == s->end) {
        return -1;
    }

    switch (*s->p) {
    case '"':
        return logic_scan_string(s);
    case 't':
        return logic_scan_word(s, "true");
    case 'f':
        return logic_scan_word(s, "false");
    case 'n':
        return logic_scan_word(s, "null");
    default:
        return logic_scan_number(s);
    }
}


static int
logic_scan_name(logic_scan_t *s)
{
    logic_scan_blank(s);

    if (logic_scan_string(s) != 0) {
        return -1;
    }

    logic_scan_blank(s);

    return logic_scan_char(s, ':');
}


static int
logic_scan_string(logic_scan_t *s)
{
    int   n;
    char  c;

    if (logic_scan_char(s, '"') != 0) {
        return -1;
    }

    while (s->p < s->end) {
        c = *s->p++;

        if (c == '"') {
            return 0;
        }

        if ((unsigned char) c < ' ') {
            return -1;
        }

        if (c != '\\') {
            continue;
        }

        if (s->p == s->end || memchr("\"\\/bfnrtu", *s->p, 9) == NULL) {
            return -1;
        }

        if (*s->p++ != 'u') {
            continue;
        }

        for (n = 0; n < 4; n++) {
            if (s->p == s->end || !isxdigit((unsigned char) *s->p++)) {
                return -1;
            }
        }
    }

    return -1;
}


static int
logic_scan_number(logic_scan_t *s)
{
    (void) logic_scan_char(s, '-');

    if (logic_scan_char(s, '0') != 0 && logic_scan_digits(s) != 0) {
        return -1;
    }

    if (logic_scan_char(s, '.') == 0 && logic_scan_digits(s) != 0) {
        return -1;
    }

    if (logic_scan_char(s, 'e') == 0 || logic_scan_char(s, 'E') == 0) {

        if (logic_scan_char(s, '+') != 0) {
            (void) logic_scan_char(s, '-');
        }

        return logic_scan_digits(s);
    }

    return 0;
}


/* at least one */

static int
logic_scan_digits(logic_scan_t *s)
{
    const char  *start;

    for (start = s->p; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
    {
        /* void */
    }

    return s->p > start ? 0 : -1;
}


static int
logic_scan_word(logic_scan_t *s, const char *word)
{
    size_t  n;

    n = strlen(word);

    if ((size_t) (s->end - s->p) < n || memcmp(s->p, word, n) != 0) {
        return -1;
    }

    s->p += n;

    return 0;
}


static int
logic_scan_char(logic_scan_t *s, char c)
{
    if (s->p == s->end || *s->p != c) {
        return -1;
    }

    s->p++;

    return 0;
}


static void
logic_scan_blank(logic_scan_t *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r'
                             || *s->p == '\n'))
    {
        s->p++;
    }
}
