/* LINK: svc/conf.c svc/conf_value.c svc/history.c common/goim_hint.c */
/* LINK: logic/keys.c logic/grants.c logic/cidr.c logic/query.c */

/*
 * What operators write, and what is like it: a configuration file, the file of
 * keys, [history] as it stands in Redis, addresses and networks; and what
 * backends write: queries and forms. The first byte says which.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/goim_limits.h"
#include "logic/cidr.h"
#include "logic/keys.h"
#include "logic/query.h"
#include "svc/conf.h"
#include "svc/history.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


typedef struct {
    char       *text;
    char       *word;
    int64_t     number;
    int64_t     time;
    int64_t     size;
    int         flag;
    double      num;
    history_t   history;
} test_conf_t;


static const char *const  words[] = { "red", "purple", NULL };

static const conf_key_t  keys[] = {
    { "a", "text", CONF_STR, offsetof(test_conf_t, text), "none", 0, 0, NULL },
    { "a", "number", CONF_INT, offsetof(test_conf_t, number), "7", -5, 100,
      NULL },
    { "a", "time", CONF_MSEC, offsetof(test_conf_t, time), "1m", 0, 172800000,
      NULL },
    { "b", "size", CONF_SIZE, offsetof(test_conf_t, size), "4k", 0, 1 << 20,
      NULL },
    { "b", "flag", CONF_BOOL, offsetof(test_conf_t, flag), "on", 0, 0, NULL },
    { "b", "num", CONF_NUM, offsetof(test_conf_t, num), "1.6", 0, 10, NULL },
    { "b", "word", CONF_WORD, offsetof(test_conf_t, word), "red", 0, 0,
      words },
    { NULL, NULL, CONF_STR, 0, NULL, 0, 0, NULL }
};


static void
check(int good)
{
    if (!good) {
        abort();
    }
}


/* A file with these bytes, as a path. */

static const char *
file(const char *text, size_t len)
{
    static int   fd = -1;
    static char  path[64];

    if (fd == -1) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        check(fd != -1);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }

    check(ftruncate(fd, 0) == 0);
    check(pwrite(fd, text, len, 0) == (ssize_t) len);

    return path;
}


static int
add_history(void *conf, const char *name, const char *value, char *err,
    size_t size)
{
    return history_add(&((test_conf_t *) conf)->history, name, value, err,
                       size);
}


static void
conf_text(char *text, size_t len)
{
    char         err[256];
    test_conf_t  conf;

    static const conf_free_t    frees[] = {
        { "history", add_history }, { NULL, NULL }
    };
    static const conf_schema_t  schema = { keys, frees, NULL };

    memset(&conf, 0, sizeof(conf));
    err[0] = '\0';

    if (conf_load(file(text, len), &schema, &conf, err, sizeof(err)) == 0) {
        check(conf.number >= -5 && conf.number <= 100);
        check(conf.time >= 0 && conf.time <= 172800000);
        check(conf.size >= 0 && conf.size <= 1 << 20);
        check(conf.num >= 0 && conf.num <= 10);
        check(conf.flag == 0 || conf.flag == 1);
        check(conf.text != NULL && conf.word != NULL);
        check(strcmp(conf.word, "red") == 0
              || strcmp(conf.word, "purple") == 0);

    } else {
        check(err[0] != '\0' && strchr(err, '\n') == NULL);
    }

    free(conf.text);
    free(conf.word);
}


static void
keys_text(char *text, size_t len)
{
    char                   err[512];
    logic_keys_t          *seen;
    const logic_apikey_t  *key;

    err[0] = '\0';
    seen = NULL;

    if (logic_keys_load(file(text, len), err, sizeof(err)) != 0) {
        check(err[0] != '\0');
        return;
    }

    key = logic_keys_find(&seen, text, len);
    check(key == NULL);
    logic_keys_release(seen);
}


static void
history(char *text, size_t len)
{
    char       out[HISTORY_TEXT], again[HISTORY_TEXT];
    history_t  h;

    (void) len;

    if (history_parse(&h, text) != 0) {
        check(h.n == 0);
        return;
    }

    check(h.n <= HISTORY_TYPES);
    history_text(&h, out);
    check(history_parse(&h, out) == 0);
    history_text(&h, again);
    check(strcmp(out, again) == 0);

    (void) history_find(&h, text);
    (void) history_id(text);
}


static void
addresses(char *text, size_t len)
{
    char           err[256], host[64];
    int64_t        ms;
    uint16_t       port;
    logic_ip_t     ip;
    logic_cidrs_t  nets;

    memset(&nets, 0, sizeof(nets));
    err[0] = '\0';

    if (logic_cidrs_add(&nets, text, "net", err, sizeof(err)) != 0
        || logic_cidrs_sort(&nets, err, sizeof(err)) != 0)
    {
        check(err[0] != '\0');

    } else {
        (void) logic_client_ip(&nets, "10.0.0.1", text, &ip);
    }

    if (logic_ip_parse(text, len, &ip) == 0 && nets.nnets > 0) {
        (void) logic_cidrs_find(&nets, &ip);
    }

    free(nets.nets);

    if (conf_msec(text, &ms) == 0) {
        check(ms >= 0);
    }

    if (conf_addr(text, host, sizeof(host), &port) == 0) {
        check(memchr(host, '\0', sizeof(host)) != NULL);
    }
}


static void
query(char *text, size_t len)
{
    char           err[128];
    size_t         i, pairs;
    int64_t        n;
    logic_arg_t   *args;
    logic_query_t  q;

    memset(&q, 0, sizeof(q));
    pairs = logic_query_pairs(text, len);
    args = malloc(pairs * sizeof(logic_arg_t) + 1);
    check(args != NULL);
    err[0] = '\0';

    if (logic_query_parse(&q, text, len, args, err, sizeof(err)) != 0) {
        check(err[0] != '\0');

    } else {
        check(q.nargs <= pairs);

        for (i = 0; i < q.nargs; i++) {
            check(q.args[i].value[q.args[i].len] == '\0');
            check(q.args[i].len == 0
                  || (q.args[i].value >= text
                      && q.args[i].value + q.args[i].len <= text + len));
            check(logic_query_find(&q, q.args[i].name) != NULL);

            if (logic_query_number(&q.args[i], -9, 99, &n) == 0) {
                check(n >= -9 && n <= 99);
            }
        }
    }

    free(args);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char  *text;

    static void  (*const what[])(char *text, size_t len) = {
        conf_text, keys_text, history, addresses, query
    };

    if (size == 0) {
        return 0;
    }

    text = malloc(size);
    check(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';

    what[data[0] % 5](text, size - 1);

    free(text);

    return 0;
}
