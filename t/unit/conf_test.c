/*
 * Configuration files (svc/conf.c).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "svc/bus.h"
#include "svc/conf.h"
#include "svc/redis.h"


typedef struct {
    char     *text;
    int64_t   number;
    int64_t   time;
    int64_t   size;
    int       flag;
    double    num;
    char     *secret;
    char     *word;
    char      free[1024];
} test_conf_t;


static int
add_free(void *conf, const char *name, const char *value, char *err,
    size_t size)
{
    char  *f;

    f = ((test_conf_t *) conf)->free;

    if (strcmp(value, "bad") == 0) {
        snprintf(err, size, "no good");
        return -1;
    }

    snprintf(f + strlen(f), sizeof(((test_conf_t *) 0)->free) - strlen(f),
             "%s=%s;", name, value);

    return 0;
}


static const char *const  words[] = { "red", "purple", NULL };

static const conf_key_t  keys[] = {
    { "a", "text", CONF_STR, offsetof(test_conf_t, text), "none", 0, 0, NULL },
    { "a", "number", CONF_INT, offsetof(test_conf_t, number), "7", -5, 100, NULL },
    { "a", "time", CONF_MSEC, offsetof(test_conf_t, time), "1m", 0, 172800000,
      NULL },
    { "b", "size", CONF_SIZE, offsetof(test_conf_t, size), "4k", 0, 1 << 20,
      NULL },
    { "b", "flag", CONF_BOOL, offsetof(test_conf_t, flag), "on", 0, 0, NULL },
    { "b", "num", CONF_NUM, offsetof(test_conf_t, num), "1.6", 0, 10, NULL },
    { "b", "word", CONF_WORD, offsetof(test_conf_t, word), "red", 0, 0,
      words },
    { "b", "secret_file", CONF_FILE, offsetof(test_conf_t, secret), "", 0, 0, NULL },
    { NULL, NULL, CONF_STR, 0, NULL, 0, 0, NULL }
};

/* Beyond the table: what the message begins with has a line, or what it
   names. */
static int
check(void *data, char *why, size_t size)
{
    test_conf_t  *c = data;

    if (c->number == 13) {
        snprintf(why, size, "[a] number = 13 is no luck");
        return -1;
    }

    if (c->time == 86400000) {
        snprintf(why, size, "[a] number = %lld does not go with this time",
                 (long long) c->number);
        return -1;
    }

    if (strstr(c->free, "q=odd") != NULL) {
        snprintf(why, size, "[any] q: odd");
        return -1;
    }

    return 0;
}


static const conf_free_t  frees[] = {
    { "any", add_free }, { NULL, NULL }
};

static const conf_schema_t  schema = { keys, frees, check };

static char         path[64], secret[64], err[512];
static test_conf_t  conf;


static void
clean(void)
{
    free(conf.text);
    free(conf.secret);
    free(conf.word);
    memset(&conf, 0, sizeof(conf));
    err[0] = '\0';
}


static int
load_bytes(const char *text, size_t len)
{
    FILE  *f;

    clean();

    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);

    return conf_load(path, &schema, &conf, err, sizeof(err));
}


static int
load(const char *text)
{
    return load_bytes(text, strlen(text));
}


/* The message names the file, the line and all of `words`. */
static void
fails(const char *text, int line, const char *words)
{
    char  where[96];

    assert_int_equal(load(text), -1);
    snprintf(where, sizeof(where), "%s:%d: ", path, line);

    if (strncmp(err, where, strlen(where)) != 0
        || strstr(err, words) == NULL || strchr(err, '\n') != NULL)
    {
        fail_msg("\"%s\" does not begin with \"%s\" and name \"%s\"", err,
                 where, words);
    }
}


static void
test_defaults(void **state)
{
    (void) state;

    clean();
    assert_int_equal(conf_load(NULL, &schema, &conf, err, sizeof(err)), 0);
    assert_string_equal(conf.text, "none");
    assert_int_equal(conf.number, 7);
    assert_int_equal(conf.time, 60000);
    assert_int_equal(conf.size, 4096);
    assert_int_equal(conf.flag, 1);
    assert_true(conf.num > 1.59 && conf.num < 1.61);
    assert_string_equal(conf.secret, "");

    assert_int_equal(load(""), 0);
    assert_int_equal(load("# nothing\n; at all\n\n[a]\n"), 0);
    assert_string_equal(conf.text, "none");

    clean();
    assert_int_equal(conf_load("/no/such/file", &schema, &conf, err,
                               sizeof(err)), -1);
    assert_string_equal(err, "/no/such/file: No such file or directory");
    assert_int_equal(conf_load("/", &schema, &conf, err, sizeof(err)), -1);
}


static void
test_values(void **state)
{
    char  text[256];

    (void) state;

    snprintf(text, sizeof(text),
             "[a]\ntext = with spaces ; remark\nnumber=-5\n"
             "time = 1500ms\n[b]\nsize = 1m\nflag=off\nnum = 0.25\n"
             "secret_file = %s\n", secret);
    assert_int_equal(load(text), 0);
    assert_string_equal(conf.text, "with spaces");
    assert_int_equal(conf.number, -5);
    assert_int_equal(conf.time, 1500);
    assert_int_equal(conf.size, 1048576);
    assert_int_equal(conf.flag, 0);
    assert_true(conf.num == 0.25);
    assert_string_equal(conf.secret, "line 1\nline 2");

    assert_int_equal(load("[a]\ntime = 99999s\n[b]\nsize=1023k\n"), 0);
    assert_int_equal(conf.time, 99999000);
    assert_int_equal(conf.size, 1047552);
    assert_int_equal(load("[a]\ntime = 3\n[b]\nsize=0\n"), 0);
    assert_int_equal(conf.time, 3000);
    assert_int_equal(load("\xef\xbb\xbf[a]\r\ntext = x\r\n"), 0);
    assert_string_equal(conf.text, "x");
    assert_int_equal(load("[a]\ntext =\n"), 0);
    assert_string_equal(conf.text, "");
}


static void
test_continued(void **state)
{
    (void) state;

    assert_int_equal(load("[any]\nservers = a:1,\n    b:2,\n\tc:3\nx = y\n"),
                     0);
    assert_string_equal(conf.free, "servers=a:1,b:2,c:3;x=y;");
    assert_int_equal(load("[a]\ntext = one\n  two\n[any]\n  k = v\n"), 0);
    assert_string_equal(conf.text, "onetwo");
    assert_string_equal(conf.free, "k=v;");
}


static void
test_errors(void **state)
{
    char    line[400];
    size_t  i;

    (void) state;

    fails("[c]\nx = 1\n", 2, "no section \"c\"");
    fails("[anny]\nx = 1\n", 2, "\"anny\", did you mean \"any\"?");
    fails("[a]\nnumbre = 1\n", 2, "\"numbre\", did you mean \"number\"?");
    fails("[a]\nflag = 1\n", 2, "[a] has no key \"flag\"");
    fails("[b]\nword = purpel\n", 2, "is none of red, purple, did you mean "
          "\"purple\"?");
    fails("[a]\ntext = 1\nnope = 1\n", 3, "\"nope\"");
    fails("text = 1\n", 1, "before");
    fails("[a]\ntext = 1\n[b]\n[a]\ntext = 2\n", 5, "twice");
    fails("[any]\nq = 1\nq = 2\n", 3, "twice");
    fails("[any]\nq = bad\n", 2, "no good");
    fails("[any]\nx = 1\n\nq = ba\n  d\n", 4, "no good");

    fails("[a]\nnumber = 101\n", 2, "\"101\" is not a number from -5 to 100");
    fails("[a]\nnumber = -6\n", 2, "not a number from -5");
    fails("[a]\nnumber = 1x\n", 2, "\"1x\" is not a number");
    fails("[a]\nnumber =\n", 2, "not a number");
    fails("[a]\nnumber = 0x10\n", 2, "not a number");
    fails("[a]\nnumber = +1\n", 2, "not a number");
    fails("[a]\nnumber = 99999999999999999999\n", 2, "not a number");
    fails("[a]\ntime = 5y\n", 2, "not a time");
    fails("[a]\ntime = -5s\n", 2, "not a time");
    fails("[a]\ntime = 9999999999999999d\n", 2, "not a time");
    fails("[a]\ntime = 3d\n", 2, "from 0 to 2d");
    fails("[b]\nsize = 1t\n", 2, "not a size");
    fails("[b]\nsize = 1025k\n", 2, "from 0 to 1m");
    fails("[b]\nflag = yes\n", 2, "\"yes\" is none of on, off, 1, 0");
    fails("[b]\nnum = nan\n", 2, "not a decimal number");
    fails("[b]\nnum = 1.5x\n", 2, "not a decimal number");
    fails("[b]\nnum = 11\n", 2, "\"11\" is not a decimal number from 0 to 10");
    fails("[b]\nsecret_file = /no/such/file\n", 2, "No such file");

    fails("[a]\ntext = x\nnumber = 13\n", 3, "[a] number = 13 is no luck");
    fails("[a]\ntext = x\ntime = 1d\n", 3, "[a] number = 7 does not go");
    fails("[any]\nx = 1\nq = odd\nqq = 1\n", 3, "[any] q: odd");

    fails("[a\ntext = x\n", 1, "neither");
    fails("[a]\ntext = x\nsomething\n[b]\nflag = maybe\n", 3, "neither");
    fails("[a]\nnumber = x\nsomething\n", 2, "not a number");

    /* lines libinih would cut in two */

    strcpy(line, "[a]\ntext = ");
    i = strlen(line);
    memset(line + i, 'x', 197 - 7);
    strcpy(line + i + 197 - 7, "\n");
    assert_int_equal(load(line), 0);
    assert_int_equal(strlen(conf.text), 190);

    memset(line + i, 'x', 250);
    strcpy(line + i + 250, "\n");
    fails(line, 2, "longer than 198 bytes");

    /* no newline at the end; a zero byte */

    assert_int_equal(load("[a]\ntext = x"), 0);
    assert_string_equal(conf.text, "x");
    assert_int_equal(load_bytes("[a]\ntext = x\0y\n", 16), -1);
    assert_non_null(strstr(err, ":2: the line contains a zero byte"));
}


static void
test_addr(void **state)
{
    char      host[16];
    size_t    i;
    uint16_t  port;

    static const char  *bad[] = {
        "", "a", "a:", ":", "a:0", "a:65536", "a:x", "a:1x", "::1:80",
        "[::1]", "[::1]80", "[]:1", "[::1:80", "a b:1", "a:1 ", "a:-1",
        "sixteen-bytes-ab:1", "http://a:1", NULL
    };

    (void) state;

    assert_int_equal(conf_addr("localhost:6379", host, 16, &port), 0);
    assert_string_equal(host, "localhost");
    assert_int_equal(port, 6379);
    assert_int_equal(conf_addr("[::1]:1", host, 16, &port), 0);
    assert_string_equal(host, "::1");
    assert_int_equal(port, 1);
    assert_int_equal(conf_addr(":65535", host, 16, &port), 0);
    assert_string_equal(host, "");
    assert_int_equal(port, 65535);
    assert_int_equal(conf_addr("sixteen-bytes-a:1", host, 16, &port), 0);

    for (i = 0; bad[i] != NULL; i++) {
        if (conf_addr(bad[i], host, sizeof(host), &port) == 0) {
            fail_msg("\"%s\" is taken for an address", bad[i]);
        }
    }
}


/* ---- the sections that both services have ---- */

typedef struct {
    bus_conf_t        bus;
    svc_redis_conf_t  redis;
} both_t;


static int
add_kafka(void *data, const char *name, const char *value, char *why,
    size_t size)
{
    return bus_conf_kafka(&((both_t *) data)->bus, name, value, why, size);
}


static const conf_key_t  both_keys[] = {
    BUS_CONF(both_t, bus),
    SVC_REDIS_CONF(both_t, redis),
    { NULL, NULL, CONF_STR, 0, NULL, 0, 0, NULL }
};

static const conf_free_t    both_free[] = {
    { "kafka", add_kafka }, { NULL, NULL }
};

static const conf_schema_t  both_schema = { both_keys, both_free, NULL };


static void
both_clean(both_t *b)
{
    size_t  i;

    free(b->bus.driver);
    free(b->bus.topic);
    free(b->bus.group);
    free(b->redis.addr);
    free(b->redis.user);
    free(b->redis.password);
    free(b->redis.prefix);
    free(b->redis.tls.ca_file);
    free(b->redis.tls.cert_file);
    free(b->redis.tls.key_file);
    free(b->redis.tls.server_name);

    for (i = 0; b->bus.props != NULL && b->bus.props[i] != NULL; i++) {
        free(b->bus.props[i]);
    }

    free(b->bus.props);
    memset(b, 0, sizeof(*b));
}


/* NULL: good, else a word of the message. */
static void
both(const char *text, const char *word)
{
    int     rc;
    FILE   *f;
    both_t  b;

    memset(&b, 0, sizeof(b));
    err[0] = '\0';

    f = fopen(path, "w");
    fputs(text, f);
    fclose(f);

    rc = conf_load(path, &both_schema, &b, err, sizeof(err));

    if (rc == 0) {
        rc = bus_check(&b.bus, err, sizeof(err));
    }

    if (rc == 0) {
        rc = svc_redis_check(&b.redis, err, sizeof(err));
    }

    if (word == NULL ? rc != 0 : rc == 0 || strstr(err, word) == NULL) {
        fail_msg("%s\n-> %d \"%s\", not \"%s\"", text, rc, err, word);
    }

    both_clean(&b);
}


static void
test_bus(void **state)
{
    char  text[256];

    (void) state;

    both("", NULL);
    both("[bus]\ndriver = redis\npartitions = 1024\n", NULL);
    both("[bus]\npartitions = 0\n", "partitions");
    both("[bus]\ndriver = pigeon\n", "pigeon");
    both("[bus]\ndriver = kafka\n", "needs bootstrap.servers in [kafka]");

#define KAFKA  "[bus]\ndriver = kafka\n[kafka]\nbootstrap.servers = a:9092,\n" \
               "    b:9092\n"

    both(KAFKA, NULL);
    both(KAFKA "linger.ms = 5\nsession.timeout.ms = 6000\n"
         "compression.type = lz4\n", NULL);
    both(KAFKA "no.such.thing = 1\n", "no.such.thing");
    both(KAFKA "linger.sm = 1\n", "[kafka] linger.sm is no property of "
         "librdkafka, did you mean \"linger.ms\"?");
    both(KAFKA "linger.ms = many\n", "linger.ms");
    both(KAFKA "acks = 1\n", "acks");
    both(KAFKA "enable.auto.commit = true\n", "enable.auto.commit");
    both(KAFKA "partitioner = random\n", "partitioner");
    both(KAFKA "group.id = x\n", "group.id");
    both(KAFKA "auto.offset.reset = latest\n", "auto.offset.reset");
    both(KAFKA "max.in.flight = 10\n", "max.in.flight");
    both(KAFKA "session.timeout.ms = 400000\n", "session.timeout");
    both("[bus]\ndriver = kafka\ntopic =\n[kafka]\nbootstrap.servers = a\n",
         "topic");

    snprintf(text, sizeof(text), KAFKA "sasl.username = u\n"
             "sasl.password_file = %s\n", secret);
    both(text, NULL);
    both(KAFKA "sasl.password_file = /no/such/file\n", "No such file");

    both("[redis]\naddr = unix:/tmp/x\n", NULL);
    both("[redis]\naddr = unix:x\n", "unix:x");
    both("[redis]\naddr = here\n", "here");
    both("[redis]\nuser = u\n", "password_file");
    both("[redis]\ntimeout = 1ms\n", "timeout");
}


static int
setup(void **state)
{
    int    fd;
    FILE  *f;

    (void) state;

    strcpy(path, "/tmp/goim-conf-XXXXXX");
    fd = mkstemp(path);
    assert_int_not_equal(fd, -1);
    close(fd);

    strcpy(secret, "/tmp/goim-secret-XXXXXX");
    fd = mkstemp(secret);
    f = fdopen(fd, "w");
    fputs("line 1\nline 2\n", f);
    fclose(f);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    clean();
    unlink(path);
    unlink(secret);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_continued),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_addr),
        cmocka_unit_test(test_bus),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
