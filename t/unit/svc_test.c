/*
 * What a service's process is: log, metrics, options and signals (svc/log.c,
 * metrics.c, loop.c).
 */

#include "test_redis.h"

#include "svc/loop.h"
#include "svc/metrics.h"

#include <pthread.h>


/* ---- log ---- */

static char *
contents(const char *path)
{
    FILE    *f;
    size_t   n;

    static char  text[65536];

    f = fopen(path, "r");

    if (f == NULL) {
        return NULL;
    }

    n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    fclose(f);

    return text;
}


static size_t
lines(const char *text)
{
    size_t  n;

    for (n = 0; *text != '\0'; text++) {
        n += (*text == '\n');
    }

    return n;
}


static void
log_child(const char *path)
{
    char              big[10000], moved[128];
    int               i;
    static log_once_t  once;

    if (log_open("/no/such/folder/log", LOG_INFO) == 0
        || log_open(path, LOG_INFO) != 0)
    {
        _exit(1);
    }

    log_write(LOG_ERROR, "key \"%s\": %d", "a\nb\x1b[0m\x7f\tc", 5);
    log_write(LOG_DEBUG, "not this one");

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    log_write(LOG_WARN, "%s", big);

    for (i = 0; i < 100; i++) {
        log_seldom(&once, LOG_NOTICE, "seldom %d", i);
    }

    snprintf(moved, sizeof(moved), "%s.1", path);
    rename(path, moved);
    log_write(LOG_NOTICE, "to the old file");
    log_reopen();
    log_write(LOG_NOTICE, "to the new file");

    _exit(0);
}


static void
test_log(void **state)
{
    int    status;
    char   dir[] = "/tmp/goim-log-XXXXXX", path[64], moved[80], *text;
    pid_t  pid;

    (void) state;

    assert_int_equal(log_level("emerg"), LOG_EMERG);
    assert_int_equal(log_level("debug"), LOG_DEBUG);
    assert_int_equal(log_level("loud"), -1);

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/log", dir);
    snprintf(moved, sizeof(moved), "%s.1", path);

    fflush(NULL);
    pid = fork();

    if (pid == 0) {
        log_child(path);
    }

    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);

    text = contents(moved);
    assert_int_equal(lines(text), 4);
    assert_non_null(strstr(text, "[error] "));
    assert_non_null(strstr(text, ": key \"a\\x0Ab\\x1B[0m\\x7F\\x09c\": 5\n"));
    assert_null(strstr(text, "not this one"));
    assert_non_null(strstr(text, ": seldom 0\n"));
    assert_non_null(strstr(text, "to the old file"));

    text = contents(path);
    assert_int_equal(lines(text), 1);
    assert_non_null(strstr(text, "to the new file"));

    unlink(path);
    unlink(moved);
    rmdir(dir);
}


static void
test_log_text(void **state)
{
    char        big[2 * LOG_TEXT];
    size_t      i, n;
    log_text_t  t;

    (void) state;

    assert_string_equal(log_text(&t, ""), "");
    assert_string_equal(log_text(&t, "comet-1 'x'"), "comet-1 'x'");
    assert_string_equal(log_text(&t, "a\"b\\c\n\x80"),
                        "a\\x22b\\x5Cc\\x0A\\x80");

    /* of any length and any characters: whole, or cut and said so */

    for (i = 0; i < sizeof(big); i++) {
        memset(big, i % 2 ? '\n' : 'x', i);
        big[i] = '\0';

        n = strlen(log_text(&t, big));
        assert_true(n < LOG_TEXT);
        assert_true(n == (i % 2 ? 4 * i : i)
                    || strcmp(t.s + n - 3, "...") == 0);
        assert_true(n >= (i < LOG_TEXT - 10 && i % 2 == 0 ? i : 0));
    }
}


/* ---- metrics ---- */

static void *
adder(void *data)
{
    int  i;

    for (i = 0; i < 10000; i++) {
        metrics_add(data, 1);
    }

    return NULL;
}


static void
test_metrics(void **state)
{
    int         i;
    char       *text;
    size_t      len;
    metric_t   *a, *b, *c;
    pthread_t   tid[4];

    (void) state;

    a = metrics_counter("goim_b_total", "reason=\"x\"", "What b is.");
    b = metrics_counter("goim_b_total", "reason=\"y\"", "Not this.");
    c = metrics_gauge("goim_a", NULL, "What a is.");

    assert_ptr_equal(metrics_counter("goim_b_total", "reason=\"x\"", ""), a);

    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&tid[i], NULL, adder, a), 0);
    }

    for (i = 0; i < 4; i++) {
        pthread_join(tid[i], NULL);
    }

    metrics_add(b, 2);
    metrics_set(c, 9);
    metrics_set(c, -7);
    assert_int_equal(metrics_get(a), 40000);
    assert_int_equal(metrics_get(c), -7);

    text = metrics_text(&len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    assert_non_null(strstr(text,
        "# HELP goim_a What a is.\n# TYPE goim_a gauge\ngoim_a -7\n"
        "# HELP goim_b_total What b is.\n# TYPE goim_b_total counter\n"
        "goim_b_total{reason=\"x\"} 40000\n"
        "goim_b_total{reason=\"y\"} 2\n"));
    free(text);
}


/* ---- the process ---- */

typedef struct {
    char     *log;
    char     *level;
    int64_t   drain;
    char     *mode;
} own_t;

static own_t         own;
static svc_t         svc;
static struct event *busy;

static const conf_key_t  own_keys[] = {
    { "log", "file", CONF_STR, offsetof(own_t, log), "stderr", 0, 0, NULL },
    { "log", "level", CONF_WORD, offsetof(own_t, level), "notice", 0, 0,
      log_names },
    { "own", "drain", CONF_MSEC, offsetof(own_t, drain), "10s", 0, 0, NULL },
    { "own", "mode", CONF_STR, offsetof(own_t, mode), "", 0, 0, NULL },
    { NULL, NULL, CONF_STR, 0, NULL, 0, 0, NULL }
};

static int
own_check(void *conf, char *err, size_t size)
{
    if (strcmp(((own_t *) conf)->mode, "odd") == 0) {
        snprintf(err, size, "[own] mode = \"odd\" is odd");
        return -1;
    }

    return 0;
}


static const conf_schema_t  own_schema = { own_keys, NULL, own_check };


static void
own_busy(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;
}


static void *
own_thread(void *data)
{
    (void) data;

    usleep(50000);
    svc_loop_done();

    return NULL;
}


static int
own_start(struct event_base *base)
{
    struct timeval  tv = { 0, 10000 };

    if (strcmp(own.mode, "fails") == 0) {
        return -1;
    }

    busy = event_new(base, -1, EV_PERSIST, own_busy, NULL);
    event_add(busy, &tv);
    log_write(LOG_NOTICE, "ready");

    return 0;
}


static void
own_drain(void)
{
    pthread_t  tid;

    if (strcmp(own.mode, "slow") != 0) {
        pthread_create(&tid, NULL, own_thread, NULL);
        pthread_detach(tid);
    }
}


static void
own_stop(void)
{
    event_free(busy);
    log_write(LOG_NOTICE, "stop was called");
}


static char  svc_out[64], svc_conf[64];
static int   early;             /* signals are there before it begins */


static void
signals_first(void)
{
    sigset_t  set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGHUP);
    raise(SIGTERM);
}


/* Runs the service; its standard output and error go to svc_out. */
static pid_t
run(char **argv)
{
    int    fd, argc;
    pid_t  pid;

    for (argc = 0; argv[argc] != NULL; argc++) { /* void */ }

    unlink(svc_out);
    fflush(NULL);
    pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fd = open(svc_out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        optind = 1;

        if (early) {
            signals_first();
        }

        argc = svc_main(&svc, argc, argv);
        fflush(NULL);
        _exit(argc);
    }

    return pid;
}


static int
ended(pid_t pid)
{
    int  status;

    assert_int_equal(waitpid(pid, &status, 0), pid);

    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}


static void
configure(const char *text)
{
    FILE  *f;

    f = fopen(svc_conf, "w");
    fputs(text, f);
    fclose(f);
}


static void
await_text(const char *word)
{
    char     *text;
    int64_t   end;

    for (end = svc_now() + TEST_BOUND; svc_now() < end; usleep(5000)) {
        text = contents(svc_out);

        if (text != NULL && strstr(text, word) != NULL) {
            return;
        }
    }

    fail_msg("\"%s\" was not said", word);
}


#define RUN(...)  run((char *[]) { "own", __VA_ARGS__, NULL })


static void
test_options(void **state)
{
    (void) state;

    assert_int_equal(ended(RUN("--version")), 0);
    assert_string_equal(contents(svc_out), "own " SVC_VERSION "\n");
    assert_int_equal(ended(RUN("-h")), 0);
    assert_non_null(strstr(contents(svc_out), "usage: own"));
    assert_non_null(strstr(contents(svc_out), "for the tests"));

    assert_int_equal(ended(RUN("--nonsense")), 2);
    assert_int_equal(ended(RUN("-c")), 2);
    assert_int_equal(ended(RUN("-t", "more")), 2);

    configure("[own]\ndrain = 1s\n");
    assert_int_equal(ended(RUN("--test", "--config", svc_conf)), 0);
    assert_non_null(strstr(contents(svc_out), "own: configuration /tmp/"));
    assert_non_null(strstr(contents(svc_out), " is ok\n"));
    assert_int_equal(ended(RUN("-t")), 0);

    configure("[own]\ndrain = soon\n");
    assert_int_equal(ended(RUN("-t", "-c", svc_conf)), 1);
    assert_non_null(strstr(contents(svc_out), ":2: [own] drain = \"soon\""));
    assert_int_equal(ended(RUN("-c", svc_conf)), 1);

    configure("[own]\nmode = odd\n");
    assert_int_equal(ended(RUN("-t", "-c", svc_conf)), 1);
    assert_non_null(strstr(contents(svc_out), "is odd"));

    configure("[log]\nlevel = loud\n");
    assert_int_equal(ended(RUN("-t", "-c", svc_conf)), 1);
    assert_non_null(strstr(contents(svc_out), "loud"));

    configure("[log]\nfile = /no/such/folder/log\n");
    assert_int_equal(ended(RUN("-c", svc_conf)), 1);
    assert_non_null(strstr(contents(svc_out), "/no/such/folder/log"));

    configure("[own]\nmode = fails\n");
    assert_int_equal(ended(RUN("-c", svc_conf)), 1);
}


static void
test_signals(void **state)
{
    char   log[80], old[96], text[256];
    pid_t  pid;

    (void) state;

    /* drains, then ends; no configuration is said */

    pid = run((char *[]) { "own", NULL });
    await_text("ready");
    kill(pid, SIGPIPE);
    kill(pid, SIGTERM);
    assert_int_equal(ended(pid), 0);
    assert_non_null(strstr(contents(svc_out), "no --config given"));
    assert_non_null(strstr(contents(svc_out), "stop was called"));
    assert_non_null(strstr(contents(svc_out), "own stopped"));

    /* what comes before it can be handled waits */

    early = 1;
    assert_int_equal(ended(run((char *[]) { "own", NULL })), 0);
    early = 0;
    assert_non_null(strstr(contents(svc_out), "opened again"));
    assert_non_null(strstr(contents(svc_out), "draining"));
    assert_non_null(strstr(contents(svc_out), "own stopped"));

    /* what takes too long is ended, by time or by a second signal */

    configure("[own]\nmode = slow\ndrain = 200ms\n");
    pid = RUN("-c", svc_conf);
    await_text("ready");
    kill(pid, SIGINT);
    assert_int_equal(ended(pid), 0);
    assert_non_null(strstr(contents(svc_out), "after the drain time"));

    configure("[own]\nmode = slow\ndrain = 1d\n");
    pid = RUN("-c", svc_conf);
    await_text("ready");
    kill(pid, SIGTERM);
    await_text("draining");
    kill(pid, SIGTERM);
    assert_int_equal(ended(pid), 0);

    /* the log's file */

    snprintf(log, sizeof(log), "%s.log", svc_conf);
    snprintf(old, sizeof(old), "%s.1", log);
    snprintf(text, sizeof(text), "[log]\nfile = %s\n", log);
    configure(text);
    strcpy(text, svc_out);
    pid = RUN("-c", svc_conf);
    strcpy(svc_out, log);
    await_text("ready");
    rename(log, old);
    kill(pid, SIGHUP);
    await_text("opened again");
    kill(pid, SIGTERM);
    assert_int_equal(ended(pid), 0);
    assert_non_null(strstr(contents(log), "stopped"));
    assert_null(strstr(contents(log), "ready"));
    strcpy(svc_out, text);
    unlink(log);
    unlink(old);
}


static int
setup(void **state)
{
    (void) state;

    strcpy(svc_out, "/tmp/goim-out-XXXXXX");
    close(mkstemp(svc_out));
    strcpy(svc_conf, "/tmp/goim-conf-XXXXXX");
    close(mkstemp(svc_conf));

    svc.name = "own";
    svc.summary = "A service for the tests.";
    svc.schema = &own_schema;
    svc.conf = &own;
    svc.log = (const char **) &own.log;
    svc.log_level = (const char **) &own.level;
    svc.start = own_start;
    svc.drain = own_drain;
    svc.stop = own_stop;
    svc.drain_time = &own.drain;

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    unlink(svc_out);
    unlink(svc_conf);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_text),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_signals),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
