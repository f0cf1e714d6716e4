/*
 * A scanner of JSON: grammar, nothing else; and what strings say.
 */

#include "common/goim_json.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>


#define GOIM_MEMBER_MAX  32


typedef struct {
    const char  *p;
    const char  *end;
} goim_scan_t;

typedef struct {
    const char  *name;
    const char  *value;
    size_t       len;               /* 0: not seen */
} goim_member_t;


static int goim_member_possible(const char *p, size_t len, const char *name);
static int goim_member_found(const char *name, size_t name_len,
    const char *value, size_t len, void *data);
static int goim_string_hex(const char *p, uint32_t *c);
static int goim_string_escape(const char **p, const char *end, uint32_t *c);
static size_t goim_string_utf8(char *out, uint32_t c);
static int goim_scan_members(goim_scan_t *s, goim_json_pt member,
    void *data);
static int goim_scan_value(goim_scan_t *s);
static int goim_scan_scalar(goim_scan_t *s);
static int goim_scan_name(goim_scan_t *s);
static int goim_scan_string(goim_scan_t *s);
static int goim_scan_number(goim_scan_t *s);
static int goim_scan_digits(goim_scan_t *s);
static int goim_scan_word(goim_scan_t *s, const char *word);
static int goim_scan_char(goim_scan_t *s, char c);
static void goim_scan_blank(goim_scan_t *s);


goim_json_t
goim_json_scan(const void *text, size_t len, goim_json_pt member,
    void *data)
{
    int           rc;
    goim_json_t  what;
    goim_scan_t  s;

    s.p = text;
    s.end = s.p + len;

    goim_scan_blank(&s);

    what = s.p == s.end ? GOIM_JSON_BAD
           : *s.p == '{' ? GOIM_JSON_OBJECT
           : *s.p == 'n' ? GOIM_JSON_NULL : GOIM_JSON_OTHER;

    rc = what == GOIM_JSON_OBJECT ? goim_scan_members(&s, member, data)
                                   : goim_scan_value(&s);

    goim_scan_blank(&s);

    return rc == 0 && s.p == s.end ? what : GOIM_JSON_BAD;
}


static int
goim_scan_members(goim_scan_t *s, goim_json_pt member, void *data)
{
    size_t       n;
    const char  *name, *value;

    s->p++;
    goim_scan_blank(s);

    if (goim_scan_char(s, '}') == 0) {
        return 0;
    }

    do {
        goim_scan_blank(s);
        name = s->p + 1;

        if (goim_scan_string(s) != 0) {
            return -1;
        }

        n = (size_t) (s->p - 1 - name);
        goim_scan_blank(s);

        if (goim_scan_char(s, ':') != 0) {
            return -1;
        }

        goim_scan_blank(s);
        value = s->p;

        if (goim_scan_value(s) != 0
            || member(name, n, value, (size_t) (s->p - value), data) != 0)
        {
            return -1;
        }

        goim_scan_blank(s);

    } while (goim_scan_char(s, ',') == 0);

    return goim_scan_char(s, '}');
}


/* Not by recursion: a hostile text may be deep. */

static int
goim_scan_value(goim_scan_t *s)
{
    char    closer[GOIM_JSON_DEPTH - 1];
    size_t  depth;

    depth = 0;

    for ( ;; ) {

        /* a value begins here */

        goim_scan_blank(s);

        if (s->p < s->end && (*s->p == '{' || *s->p == '[')) {

            if (depth == sizeof(closer)) {
                return -1;
            }

            closer[depth++] = *s->p++ == '{' ? '}' : ']';
            goim_scan_blank(s);

            if (s->p == s->end) {
                return -1;
            }

            if (*s->p != closer[depth - 1]) {

                if (closer[depth - 1] == '}' && goim_scan_name(s) != 0) {
                    return -1;
                }

                continue;
            }

        } else if (goim_scan_scalar(s) != 0) {
            return -1;
        }

        /* and has ended here, with all that end with it */

        for ( ;; ) {

            if (depth == 0) {
                return 0;
            }

            goim_scan_blank(s);

            if (goim_scan_char(s, closer[depth - 1]) != 0) {
                break;
            }

            depth--;
        }

        if (goim_scan_char(s, ',') != 0
            || (closer[depth - 1] == '}' && goim_scan_name(s) != 0))
        {
            return -1;
        }
    }
}


static int
goim_scan_scalar(goim_scan_t *s)
{
    if (s->p == s->end) {
        return -1;
    }

    switch (*s->p) {
    case '"':
        return goim_scan_string(s);
    case 't':
        return goim_scan_word(s, "true");
    case 'f':
        return goim_scan_word(s, "false");
    case 'n':
        return goim_scan_word(s, "null");
    default:
        return goim_scan_number(s);
    }
}


static int
goim_scan_name(goim_scan_t *s)
{
    goim_scan_blank(s);

    if (goim_scan_string(s) != 0) {
        return -1;
    }

    goim_scan_blank(s);

    return goim_scan_char(s, ':');
}


static int
goim_scan_string(goim_scan_t *s)
{
    int   n;
    char  c;

    if (goim_scan_char(s, '"') != 0) {
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
goim_scan_number(goim_scan_t *s)
{
    (void) goim_scan_char(s, '-');

    if (goim_scan_char(s, '0') != 0 && goim_scan_digits(s) != 0) {
        return -1;
    }

    if (goim_scan_char(s, '.') == 0 && goim_scan_digits(s) != 0) {
        return -1;
    }

    if (goim_scan_char(s, 'e') == 0 || goim_scan_char(s, 'E') == 0) {

        if (goim_scan_char(s, '+') != 0) {
            (void) goim_scan_char(s, '-');
        }

        return goim_scan_digits(s);
    }

    return 0;
}


/* at least one */

static int
goim_scan_digits(goim_scan_t *s)
{
    const char  *start;

    for (start = s->p; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
    {
        /* void */
    }

    return s->p > start ? 0 : -1;
}


static int
goim_scan_word(goim_scan_t *s, const char *word)
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
goim_scan_char(goim_scan_t *s, char c)
{
    if (s->p == s->end || *s->p != c) {
        return -1;
    }

    s->p++;

    return 0;
}


static void
goim_scan_blank(goim_scan_t *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r'
                             || *s->p == '\n'))
    {
        s->p++;
    }
}


/* ---- strings ---- */

int
goim_json_string(const char *text, size_t len, char *buf, size_t size)
{
    char         utf8[4];
    size_t       n, k;
    uint32_t     c;
    const char  *p, *end;

    n = 0;
    end = text + len;

    for (p = text; p < end; /* void */ ) {

        if (*p != '\\') {
            utf8[0] = *p++;
            k = 1;

        } else {
            p++;

            if (goim_string_escape(&p, end, &c) != 0) {
                return -1;
            }

            k = goim_string_utf8(utf8, c);
        }

        if (k > size - n) {
            return -1;
        }

        memcpy(buf + n, utf8, k);
        n += k;
    }

    return (int) n;
}


/* what stands behind a backslash */

static int
goim_string_escape(const char **p, const char *end, uint32_t *c)
{
    char               e;
    size_t             i;
    uint32_t           low;
    static const char  from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

    if (*p == end) {
        return -1;
    }

    e = *(*p)++;

    for (i = 0; from[i]; i++) {
        if (e == from[i]) {
            *c = (unsigned char) to[i];
            return 0;
        }
    }

    if (e != 'u' || end - *p < 4 || goim_string_hex(*p, c) != 0) {
        return -1;
    }

    *p += 4;

    if (*c < 0xd800 || *c > 0xdfff) {
        return 0;
    }

    /* half a character: the other one must follow */

    if (*c > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u'
        || goim_string_hex(*p + 2, &low) != 0 || low < 0xdc00 || low > 0xdfff)
    {
        return -1;
    }

    *p += 6;
    *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);

    return 0;
}


static int
goim_string_hex(const char *p, uint32_t *c)
{
    int  i, d;

    *c = 0;

    for (i = 0; i < 4; i++) {

        if (!isxdigit((unsigned char) p[i])) {
            return -1;
        }

        d = p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10;
        *c = *c << 4 | (uint32_t) d;
    }

    return 0;
}


static size_t
goim_string_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char) c;
        return 1;
    }

    if (c < 0x800) {
        out[0] = (char) (0xc0 | c >> 6);
        out[1] = (char) (0x80 | (c & 0x3f));
        return 2;
    }

    if (c < 0x10000) {
        out[0] = (char) (0xe0 | c >> 12);
        out[1] = (char) (0x80 | (c >> 6 & 0x3f));
        out[2] = (char) (0x80 | (c & 0x3f));
        return 3;
    }

    out[0] = (char) (0xf0 | c >> 18);
    out[1] = (char) (0x80 | (c >> 12 & 0x3f));
    out[2] = (char) (0x80 | (c >> 6 & 0x3f));
    out[3] = (char) (0x80 | (c & 0x3f));

    return 4;
}


/* ---- a member ---- */

size_t
goim_json_member(const void *text, size_t len, const char *name,
    const char **value)
{
    goim_member_t  m = { .name = name };

    if (!goim_member_possible(text, len, name)
        || goim_json_scan(text, len, goim_member_found, &m)
           != GOIM_JSON_OBJECT)
    {
        return 0;
    }

    *value = m.value;

    return m.len;
}


/*
 * Where the name does not stand at all nothing is scanned; it may be written
 * with escapes.
 */
static int
goim_member_possible(const char *p, size_t len, const char *name)
{
    size_t  i, n;

    n = strlen(name);

    for (i = 0; i < len; i++) {

        if (p[i] == '\\'
            || (len - i >= n && strncasecmp(p + i, name, n) == 0))
        {
            return 1;
        }
    }

    return 0;
}


/* null is as good as nothing */
static int
goim_member_found(const char *name, size_t name_len, const char *value,
    size_t len, void *data)
{
    int             n;
    char            buf[GOIM_MEMBER_MAX];
    goim_member_t  *m = data;

    n = goim_json_string(name, name_len, buf, sizeof(buf));

    if (n == (int) strlen(m->name) && strncasecmp(buf, m->name, n) == 0
        && value[0] != 'n')
    {
        m->value = value;
        m->len = len;
    }

    return 0;
}


/* ---- writing ---- */

char *
goim_json_write(char *p, const char *s, size_t len)
{
    size_t  i;

    *p++ = '"';

    for (i = 0; i < len; i++) {

        if ((unsigned char) s[i] < ' ') {
            p += sprintf(p, "\\u%04x", (unsigned char) s[i]);
            continue;
        }

        if (s[i] == '"' || s[i] == '\\') {
            *p++ = '\\';
        }

        *p++ = s[i];
    }

    *p++ = '"';

    return p;
}
