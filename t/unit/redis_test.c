/*
 * The connection to Redis (svc/redis.c), and appending to a node's stream
 * (svc/stream.c), with a real redis-server.
 */

#include "test_redis.h"

#include "svc/stream.h"


typedef struct {
    test_redis_t         redis;
    struct event_base   *base;
    svc_redis_conf_t     conf;
    svc_redis_t         *r;
    int                  ups;
    int                  downs;
} fixture_t;


static void
on_up(svc_redis_t *r, void *data)
{
    (void) r;

    ((fixture_t *) data)->ups++;
}


static void
on_down(svc_redis_t *r, void *data)
{
    (void) r;

    ((fixture_t *) data)->downs++;
}


static int
setup(void **state)
{
    fixture_t           *f;
    svc_redis_events_t   events;

    f = calloc(1, sizeof(fixture_t));
    f->base = event_base_new();

    events.up = on_up;
    events.down = on_down;
    events.data = f;

    f->r = test_redis_open(&f->redis, f->base, &f->conf, &events);

    *state = f;

    return 0;
}


static int
teardown(void **state)
{
    fixture_t  *f;

    f = *state;
    test_redis_close(&f->redis, f->base, f->r);
    free(f);

    return 0;
}


/* ---- what was answered ---- */

typedef struct {
    int                 n;
    int                 lost;
    svc_redis_class_t   class;
    int                 replaced;
    char                text[256];
} answer_t;


static void
on_answer(svc_redis_t *r, redisReply *reply, void *data)
{
    answer_t  *a;

    (void) r;

    a = data;
    a->n++;
    a->class = svc_redis_class(reply);

    if (reply == NULL) {
        a->lost++;
        return;
    }

    a->text[0] = '\0';

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        a->replaced = 1;
        reply = reply->element[0];
    }

    if (reply->str != NULL) {
        snprintf(a->text, sizeof(a->text), "%.255s", reply->str);

    } else {
        snprintf(a->text, sizeof(a->text), "%lld", reply->integer);
    }
}


typedef struct {
    answer_t  *a;
    int        n;
} count_t;


static int
answered(void *data)
{
    count_t  *c;

    c = data;

    return c->a->n >= c->n;
}


static void
await(fixture_t *f, answer_t *a, int n)
{
    count_t  c = { a, n };

    test_wait(f->base, answered, &c);
}


static void
append(fixture_t *f, answer_t *a, const char *payload)
{
    int  n;

    n = a->n;
    a->replaced = 0;

    assert_int_equal(svc_stream_append(f->r, "comet", 100, payload,
                                       strlen(payload), on_answer, a), 0);
    await(f, a, n + 1);
}


static void
test_calls(void **state)
{
    int          i;
    size_t       len[3] = { 3, 3, 4 };
    answer_t     a;
    fixture_t   *f;
    const char  *argv[3] = { "SET", "k:1", "a\0b\n" };

    f = *state;
    memset(&a, 0, sizeof(a));

    assert_int_equal(f->ups, 1);
    assert_string_equal(svc_redis_prefix(f->r), "p:");

    assert_int_equal(svc_redis_call(f->r, on_answer, &a, 3, argv, len), 0);
    assert_int_equal(svc_redis_callf(f->r, on_answer, &a, "STRLEN %s",
                                     "k:1"), 0);
    await(f, &a, 2);
    assert_string_equal(a.text, "4");

    for (i = 0; i < 1000; i++) {
        assert_int_equal(svc_redis_callf(f->r, on_answer, &a, "INCR n"), 0);
    }

    await(f, &a, 1002);
    assert_string_equal(a.text, "1000");

    svc_redis_callf(f->r, on_answer, &a, "INCR %s", "k:1");
    await(f, &a, 1003);
    assert_int_equal(a.class, SVC_REDIS_ERROR);

    svc_redis_callf(f->r, on_answer, &a, "LPUSH %s x", "k:1");
    await(f, &a, 1004);
    assert_int_equal(a.class, SVC_REDIS_TYPE);
}


static void
test_scripts(void **state)
{
    int          i;
    answer_t     a;
    fixture_t   *f;
    const char  *argv[2] = { "key", "arg" };

    static svc_script_t  script = {
        .body = "return KEYS[1] .. ARGV[1]"
    };

    f = *state;
    memset(&a, 0, sizeof(a));

    /* together, so that the script is not known to the first ones */

    for (i = 0; i < 100; i++) {
        assert_int_equal(svc_redis_eval(f->r, &script, on_answer, &a, 1, 2,
                                        argv, NULL), 0);
    }

    await(f, &a, 100);
    assert_string_equal(a.text, "keyarg");

    svc_redis_eval(f->r, &script, on_answer, &a, 1, 2, argv, NULL);
    await(f, &a, 101);
    assert_string_equal(a.text, "keyarg");

    /* forgotten: once again, then it is brought along */

    test_do(&f->redis, "SCRIPT FLUSH");

    svc_redis_eval(f->r, &script, on_answer, &a, 1, 2, argv, NULL);
    await(f, &a, 102);
    assert_int_equal(a.class, SVC_REDIS_AGAIN);

    svc_redis_eval(f->r, &script, on_answer, &a, 1, 2, argv, NULL);
    await(f, &a, 103);
    assert_string_equal(a.text, "keyarg");
}


static void
test_life(void **state)
{
    char         life[32];
    uint64_t     first, second;
    fixture_t   *f;
    redisReply  *reply;

    f = *state;
    first = svc_redis_life(f->r);
    assert_true(first > 1600000000000ull);

    /* the same run: the same life */

    svc_redis_reconnect(f->r);
    assert_true(svc_redis_is_up(f->r));
    test_run(f->base, 20);
    test_wait(f->base, test_redis_up, f->r);
    assert_int_equal(f->ups, 2);
    assert_int_equal(f->downs, 1);
    assert_true(svc_redis_life(f->r) == first);

    /* another run: a larger one, also when the clock stands behind it */

    test_do(&f->redis, "HSET p:goim:life n %s", "3000000000000");
    test_redis_kill(&f->redis, SIGKILL);
    test_run(f->base, 100);
    assert_false(svc_redis_is_up(f->r));
    test_redis_spawn(&f->redis);
    test_wait(f->base, test_redis_up, f->r);
    second = svc_redis_life(f->r);
    assert_true(second == 3000000000001ull);

    reply = test_cmd(&f->redis, "HGET p:goim:life n");
    snprintf(life, sizeof(life), "%llu", (unsigned long long) second);
    assert_string_equal(reply->str, life);
    freeReplyObject(reply);

    /* a broken key is replaced */

    test_do(&f->redis, "SET p:goim:life x");
    svc_redis_reconnect(f->r);
    test_run(f->base, 20);
    test_wait(f->base, test_redis_up, f->r);
    assert_true(svc_redis_life(f->r) > first);
}


static void
test_lost(void **state)
{
    int         i;
    answer_t    a;
    fixture_t  *f;

    f = *state;
    memset(&a, 0, sizeof(a));

    /* stopped: the time is up, everything outstanding is told so */

    kill(f->redis.pid, SIGSTOP);

    for (i = 0; i < 10; i++) {
        assert_int_equal(svc_redis_callf(f->r, on_answer, &a, "PING"), 0);
    }

    await(f, &a, 10);
    assert_int_equal(a.lost, 10);
    assert_int_equal(f->downs, 1);
    assert_int_equal(svc_redis_callf(f->r, on_answer, &a, "PING"), -1);

    test_run(f->base, 300);
    kill(f->redis.pid, SIGCONT);
    test_wait(f->base, test_redis_up, f->r);
    assert_int_equal(f->ups, 2);

    /* killed */

    test_redis_kill(&f->redis, SIGKILL);
    test_run(f->base, 50);
    assert_int_equal(f->downs, 2);
    test_redis_spawn(&f->redis);
    test_wait(f->base, test_redis_up, f->r);

    svc_redis_callf(f->r, on_answer, &a, "PING");
    await(f, &a, 11);
    assert_string_equal(a.text, "PONG");
}


static void
test_auth(void **state)
{
    fixture_t         *f;
    svc_redis_t       *r, *wrong;
    svc_redis_conf_t   conf;
    char               addr[64];

    f = *state;

    test_do(&f->redis, "ACL SETUSER ann on >secret ~* &* +@all");
    test_do(&f->redis, "CONFIG SET requirepass other");

    conf = f->conf;
    snprintf(addr, sizeof(addr), "localhost:%d", f->redis.port);
    conf.addr = addr;
    conf.user = (char *) "ann";
    conf.password = (char *) "secret";
    conf.db = 3;
    r = svc_redis_new(f->base, &conf, NULL);
    test_wait(f->base, test_redis_up, r);
    assert_true(svc_redis_life(r) > 0);
    svc_redis_free(r);

    conf.password = (char *) "wrong";
    wrong = svc_redis_new(f->base, &conf, NULL);
    test_run(f->base, 300);
    assert_false(svc_redis_is_up(wrong));
    svc_redis_free(wrong);

    /* no such name; freed while it is being looked for */

    conf.addr = (char *) "no.such.name.invalid:6379";
    wrong = svc_redis_new(f->base, &conf, NULL);
    test_run(f->base, 50);
    assert_false(svc_redis_is_up(wrong));
    svc_redis_free(wrong);
}


static void
test_append(void **state)
{
    char        id[64];
    answer_t    a;
    fixture_t  *f;

    f = *state;
    memset(&a, 0, sizeof(a));

    append(f, &a, "one");
    snprintf(id, sizeof(id), "%llu-0",
             (unsigned long long) svc_redis_life(f->r));
    assert_string_equal(a.text, id);
    assert_in_range(test_num(&f->redis, "TTL p:goim:node:comet"), 3500, 3600);

    append(f, &a, "two");
    snprintf(id, sizeof(id), "%llu-1",
             (unsigned long long) svc_redis_life(f->r));
    assert_string_equal(a.text, id);
    assert_int_equal(test_num(&f->redis, "XLEN p:goim:node:comet"), 2);
}


static void
test_append_broken(void **state)
{
    answer_t    a;
    uint64_t    life;
    fixture_t  *f;

    f = *state;
    memset(&a, 0, sizeof(a));

    /* another type: replaced */

    test_do(&f->redis, "SET p:goim:node:comet x");
    append(f, &a, "one");
    assert_int_equal(a.class, SVC_REDIS_OK);
    assert_true(a.replaced);
    assert_int_equal(test_num(&f->redis, "XLEN p:goim:node:comet"), 1);

    /* the life is another: refused, and learnt by connecting again */

    life = svc_redis_life(f->r);
    test_do(&f->redis, "HINCRBY p:goim:life n 5");
    append(f, &a, "two");
    assert_int_equal(a.class, SVC_REDIS_LIFE);
    test_run(f->base, 20);
    test_wait(f->base, test_redis_up, f->r);
    assert_true(svc_redis_life(f->r) == life + 5);
    append(f, &a, "two");
    assert_int_equal(a.class, SVC_REDIS_OK);
    assert_false(a.replaced);

    /* the same with everything gone */

    test_do(&f->redis, "FLUSHALL");
    append(f, &a, "three");
    assert_int_equal(a.class, SVC_REDIS_LIFE);
    test_run(f->base, 20);
    test_wait(f->base, test_redis_up, f->r);
    append(f, &a, "three");
    assert_int_equal(a.class, SVC_REDIS_OK);

    /* a stranger's id above the life: the life is lifted */

    life = svc_redis_life(f->r);
    test_do(&f->redis, "XADD p:goim:node:comet 4000000000000-7 d x");
    append(f, &a, "four");
    assert_int_equal(a.class, SVC_REDIS_LIFE);
    test_run(f->base, 20);
    test_wait(f->base, test_redis_up, f->r);
    append(f, &a, "four");
    assert_string_equal(a.text, "4000000000001-0");
    assert_false(a.replaced);

    /* one that leaves no room: replaced */

    test_do(&f->redis, "XADD p:goim:node:comet 18446744073709551615-9 d x");
    append(f, &a, "five");
    assert_int_equal(a.class, SVC_REDIS_OK);
    assert_true(a.replaced);
}


static void
test_append_full(void **state)
{
    answer_t    a;
    fixture_t  *f;

    f = *state;
    memset(&a, 0, sizeof(a));

    append(f, &a, "one");
    test_do(&f->redis, "CONFIG SET maxmemory 1");
    append(f, &a, "two");
    assert_int_equal(a.class, SVC_REDIS_AGAIN);

    /* a full Redis can be connected to */

    svc_redis_reconnect(f->r);
    test_run(f->base, 20);
    test_wait(f->base, test_redis_up, f->r);

    test_do(&f->redis, "CONFIG SET maxmemory 0");
    append(f, &a, "two");
    assert_int_equal(a.class, SVC_REDIS_OK);

    /* a replica: it is left for whoever the name leads to now */

    test_do(&f->redis, "REPLICAOF 127.0.0.1 1");
    append(f, &a, "three");
    assert_int_equal(a.class, SVC_REDIS_AGAIN);
    test_run(f->base, 200);
    assert_false(svc_redis_is_up(f->r));
    test_do(&f->redis, "REPLICAOF NO ONE");
    test_wait(f->base, test_redis_up, f->r);
    append(f, &a, "three");
    assert_int_equal(a.class, SVC_REDIS_OK);
}


/* Somebody who listens in place of Redis; the descriptor. */
static int
listener(char *addr, size_t size)
{
    int                 fd;
    socklen_t           len;
    struct sockaddr_in  sin;

    fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(sin);
    assert_int_equal(bind(fd, (struct sockaddr *) &sin, len), 0);
    assert_int_equal(listen(fd, 10), 0);
    getsockname(fd, (struct sockaddr *) &sin, &len);

    snprintf(addr, size, "127.0.0.1:%d", ntohs(sin.sin_port));

    return fd;
}


static void
say(struct event_base *base, int peer, const char *text)
{
    test_run(base, 20);
    assert_int_equal(write(peer, text, strlen(text)), strlen(text));
    test_run(base, 20);
}


/*
 * A command's time begins when it has been sent, and an answer that comes is
 * not late, however long both take: here thrice the time each.
 */
static void
test_slow(void **state)
{
    int                i, fd, peer, n;
    char               addr[64], *big;
    size_t             got;
    int64_t            end;
    answer_t           a;
    fixture_t         *f;
    svc_redis_t       *r;
    svc_redis_conf_t   conf;

    static char  buf[65536];

    f = *state;
    fd = listener(addr, sizeof(addr));
    conf = f->conf;
    conf.addr = addr;
    conf.timeout = 1000;

    r = svc_redis_new(f->base, &conf, NULL);
    test_run(f->base, 10);
    peer = accept(fd, NULL, NULL);
    say(f->base, peer, "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n");
    say(f->base, peer, "$36\r\nrun_id:x\r\nredis_version:7.0.0\r\n12345\r\n");
    say(f->base, peer, "$3\r\nsha\r\n$13\r\n1700000000000\r\n");
    test_wait(f->base, test_redis_up, r);

    fcntl(peer, F_SETFL, O_NONBLOCK);
    while (read(peer, buf, sizeof(buf)) > 0) { /* void */ }

    /* it takes the command little by little */

    big = calloc(1, 32 * 1024 * 1024);
    assert_non_null(big);
    memset(&a, 0, sizeof(a));
    assert_int_equal(svc_redis_callf(r, on_answer, &a, "SET k %b", big,
                                     (size_t) 32 * 1024 * 1024), 0);
    free(big);

    end = svc_now() + 3 * conf.timeout;

    for (got = 0; svc_now() < end; /* void */ ) {
        test_run(f->base, 50);
        n = (int) read(peer, buf, sizeof(buf));
        assert_true(n > 0);
        got += (size_t) n;
    }

    assert_true(got < 32 * 1024 * 1024);
    assert_true(svc_redis_is_up(r));
    assert_int_equal(a.n, 0);

    while (got < 32 * 1024 * 1024) {
        n = (int) read(peer, buf, sizeof(buf));

        if (n > 0) {
            got += (size_t) n;

        } else {
            test_run(f->base, 2);
            assert_true(svc_redis_is_up(r));
        }
    }

    /* and answers byte by byte */

    say(f->base, peer, "$60\r\n");

    for (i = 0; i < 60; i++) {
        assert_int_equal(write(peer, "x", 1), 1);
        test_run(f->base, 50);
        assert_true(svc_redis_is_up(r));
    }

    assert_int_equal(a.n, 0);
    say(f->base, peer, "\r\n");
    assert_int_equal(a.n, 1);
    assert_int_equal(a.lost, 0);

    /* who takes everything and says nothing is late all the same */

    memset(&a, 0, sizeof(a));
    assert_int_equal(svc_redis_callf(r, on_answer, &a, "PING"), 0);
    await(f, &a, 1);
    assert_int_equal(a.lost, 1);

    svc_redis_free(r);
    close(peer);
    close(fd);
}


/* A server that speaks something else, or before it is asked. */
static void
test_hostile(void **state)
{
    int                i, fd, peer;
    char               addr[64];
    fixture_t         *f;
    svc_redis_t       *r;
    svc_redis_conf_t   conf;

    static const char  *lines[] = {
        "HTTP/1.1 200 OK\r\n\r\n", "+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
        "*-9\r\n", "$99999999999999999999\r\n", "-ERR max clients\r\n",
        "*3\r\n$-1\r\n:1\r\n+a\r\n", "$0\r\n\r\n$3\r\nabc\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        "*2\r\n$1\r\n1\r\n:0\r\n",
        ("*2\r\n$1\r\n1\r\n$1\r\n0\r\n"
         "$26\r\nrun_id:x\r\nredis_version:\r\n\r\n")
    };

    f = *state;

    fd = listener(addr, sizeof(addr));
    conf = f->conf;
    conf.addr = addr;

    for (i = 0; i < (int) (sizeof(lines) / sizeof(lines[0])); i++) {
        r = svc_redis_new(f->base, &conf, NULL);
        test_run(f->base, 10);
        peer = accept(fd, NULL, NULL);
        assert_int_equal(write(peer, lines[i], strlen(lines[i])),
                         strlen(lines[i]));
        test_run(f->base, 20);
        assert_false(svc_redis_is_up(r));
        close(peer);
        test_run(f->base, 10);
        svc_redis_free(r);

        /* the attempt that followed */

        fcntl(fd, F_SETFL, O_NONBLOCK);
        while ((peer = accept(fd, NULL, NULL)) != -1) {
            close(peer);
        }
        fcntl(fd, F_SETFL, 0);
    }

    close(fd);
}


/* An array that is announced takes memory before it comes: up to a bound. */
static void
test_arrays(void **state)
{
    int                i, fd, peer;
    char               addr[64], c;
    fixture_t         *f;
    svc_redis_t       *r;
    svc_redis_conf_t   conf;

    static const struct {
        const char  *line;
        int          taken;
    } arrays[] = {
        { "*1048576\r\n:1\r\n", 1 },
        { "*1048577\r\n", 0 },
        { "*2147483647\r\n", 0 },
        { "*2\r\n*1048576\r\n", 1 },
        { "*2\r\n*1048577\r\n", 0 }
    };

    f = *state;

    fd = listener(addr, sizeof(addr));
    conf = f->conf;
    conf.addr = addr;

    for (i = 0; i < (int) (sizeof(arrays) / sizeof(arrays[0])); i++) {
        r = svc_redis_new(f->base, &conf, NULL);
        test_run(f->base, 10);
        peer = accept(fd, NULL, NULL);
        fcntl(peer, F_SETFL, O_NONBLOCK);

        while (read(peer, &c, 1) == 1) { /* what it says first */ }

        assert_int_equal(write(peer, arrays[i].line, strlen(arrays[i].line)),
                         strlen(arrays[i].line));
        test_run(f->base, 20);

        /* it waits for the elements, or has hung up */

        assert_int_equal(read(peer, &c, 1), arrays[i].taken ? -1 : 0);

        svc_redis_free(r);
        close(peer);

        fcntl(fd, F_SETFL, O_NONBLOCK);
        while ((peer = accept(fd, NULL, NULL)) != -1) {
            close(peer);
        }
        fcntl(fd, F_SETFL, 0);
    }

    close(fd);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scripts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_auth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arrays, setup, teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    evthread_use_pthreads();
    log_open(NULL, LOG_DEBUG);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
