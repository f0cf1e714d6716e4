/*
 * The registry of nodes (svc/registry.c), with a real redis-server.
 */

#include "test_redis.h"

#include "svc/clock.h"
#include "svc/registry.h"


#define TTL     1500
#define RENEW   400


static test_redis_t         redis;
static struct event_base   *base;
static svc_redis_conf_t     conf;
static svc_redis_t         *r;
static registry_t          *writer;


static int
setup(void **state)
{
    (void) state;

    base = event_base_new();
    r = test_redis_open(&redis, base, &conf, NULL);
    writer = registry_new(base, r, TTL, RENEW);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    registry_free(writer);
    test_redis_close(&redis, base, r);

    return 0;
}


/* ---- writing ---- */

typedef struct {
    int                n;
    registry_result_t  result;
    char               holder[128];
    uint64_t           seen;
    uint64_t           missed;
    int                lapsed;
} answer_t;


static void
on_answer(const registry_answer_t *r, void *data)
{
    answer_t  *a;

    a = data;
    a->n++;
    a->result = r->result;
    a->seen = r->seen;
    a->missed = r->missed;
    a->lapsed = r->lapsed;
    snprintf(a->holder, sizeof(a->holder), "%s", r->holder);
}


static int
answered(void *data)
{
    return ((answer_t *) data)->n > 0;
}


/* before: when it was registered last, as it was told */
static registry_result_t
enter_again(const char *server, const char *zone, const char *instance,
    const char *replaces, uint64_t started, uint64_t before, answer_t *a)
{
    Goim__Register  info = GOIM__REGISTER__INIT;

    memset(a, 0, sizeof(*a));
    info.seen = before;
    info.server = (char *) server;
    info.zone = (char *) zone;
    info.instance = (char *) instance;
    info.replaces = (char *) replaces;
    info.weight = 10;
    info.started = started;

    assert_int_equal(registry_register(writer, &info, svc_now() + 5000,
                                       on_answer, a), 0);
    test_wait(base, answered, a);

    return a->result;
}


static registry_result_t
enter_as(const char *server, const char *zone, const char *instance,
    const char *replaces, uint64_t started, answer_t *a)
{
    return enter_again(server, zone, instance, replaces, started, 0, a);
}


static void
enter(const char *server, const char *zone)
{
    char      instance[64];
    answer_t  a;

    snprintf(instance, sizeof(instance), "host/%s", server);
    assert_int_equal(enter_as(server, zone, instance, "", 1, &a),
                     REGISTRY_OK);
}


static void
leave(const char *server, const char *zone)
{
    answer_t  a;

    memset(&a, 0, sizeof(a));
    assert_int_equal(registry_deregister(writer, server, zone, on_answer,
                                         &a), 0);
    test_wait(base, answered, &a);
    assert_int_equal(a.result, REGISTRY_OK);
}


/* ---- reading ---- */

typedef struct {
    int  n;
    int  ok;
} read_t;


static void
on_read(registry_t *g, int ok, void *data)
{
    read_t  *d;

    (void) g;

    d = data;
    d->n++;
    d->ok = ok;
}


static int
was_read(void *data)
{
    return ((read_t *) data)->n > 0;
}


static int
look(registry_t *g)
{
    read_t  d = { 0, 0 };

    assert_int_equal(registry_read(g, on_read, &d), 0);
    test_wait(base, was_read, &d);
    assert_int_equal(d.n, 1);

    return d.ok;
}


/* "a b c": the servers known; "a/2": with two zones */
static char *
known(registry_t *g)
{
    size_t                  i, n;
    const registry_node_t  *nodes;

    static char  text[1024];

    text[0] = '\0';
    n = registry_nodes(g, &nodes);

    for (i = 0; i < n; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 nodes[i].zones > 1 ? "%s%s/%zu" : "%s%s", i ? " " : "",
                 nodes[i].server, nodes[i].zones);
    }

    return text;
}


/* A registry that has stood for long. */
static void
age(void)
{
    test_do(&redis, "HSET p:goim:nodes created 1000");
    test_do(&redis, "HSET p:goim:life n 1000");
    svc_redis_reconnect(r);
    test_run(base, 20);
    test_wait(base, test_redis_up, r);
}


/* what the entry says; -1: there is none */
static int
left(const char *field)
{
    int          left;
    redisReply  *reply;
    Goim__Node  *node;

    reply = test_cmd(&redis, "HGET p:goim:nodes %s", field);

    if (reply->type != REDIS_REPLY_STRING) {
        freeReplyObject(reply);
        return -1;
    }

    node = goim__node__unpack(NULL, reply->len, (uint8_t *) reply->str);
    assert_non_null(node);
    left = node->left;

    goim__node__free_unpacked(node, NULL);
    freeReplyObject(reply);

    return left;
}


static void
test_enter(void **state)
{
    answer_t      a;
    redisReply   *reply;
    Goim__Node   *node;

    (void) state;

    assert_int_equal(enter_as("a", "z1", "i1", "", 5, &a), REGISTRY_OK);
    assert_int_equal(test_num(&redis, "GET p:goim:nodes:version") > 0, 1);
    assert_int_equal(test_num(&redis, "HEXISTS p:goim:nodes created"), 1);

    reply = test_cmd(&redis, "HGET p:goim:nodes a/z1");
    node = goim__node__unpack(NULL, reply->len, (uint8_t *) reply->str);
    assert_non_null(node);
    assert_string_equal(node->info->server, "a");
    assert_string_equal(node->info->instance, "i1");
    assert_int_equal(node->info->weight, 10);
    assert_in_range((long) node->seen, 1600000000000, 99999999999999);
    goim__node__free_unpacked(node, NULL);
    freeReplyObject(reply);

    /* another instance of a living one is refused, and told by whom */

    assert_int_equal(enter_as("a", "z2", "i2", "", 5, &a), REGISTRY_REFUSED);
    assert_string_equal(a.holder, "i1");
    assert_int_equal(enter_as("a", "z2", "i2", "i0", 5, &a),
                     REGISTRY_REFUSED);

    /* more zones of the same one, another server, and one that replaces */

    assert_int_equal(enter_as("a", "z2", "i1", "", 5, &a), REGISTRY_OK);
    assert_int_equal(enter_as("b", "z1", "i2", "", 5, &a), REGISTRY_OK);
    assert_int_equal(left("a/z1"), 0);
    assert_int_equal(enter_as("a", "z3", "i2", "i1", 5, &a), REGISTRY_OK);
    assert_int_equal(left("a/z1"), 1);
    assert_int_equal(left("a/z2"), 1);
    assert_int_equal(left("a/z3"), 0);
    assert_int_equal(left("b/z1"), 0);

    /* whose time is up does not hold it any more */

    test_run(base, TTL + 100);
    assert_int_equal(enter_as("a", "z4", "i4", "", 5, &a), REGISTRY_OK);
    assert_int_equal(left("a/z3"), 1);

    leave("a", "z4");
    leave("a", "z4");
    assert_int_equal(left("a/z4"), 1);
    assert_int_equal(left("b/z1"), 0);
    assert_int_equal(enter_as("a", "z5", "i5", "", 5, &a), REGISTRY_OK);
}


static void
test_version(void **state)
{
    long long  v;

    (void) state;

    enter("a", "z1");
    v = test_num(&redis, "GET p:goim:nodes:version");
    enter("a", "z1");
    assert_int_equal(test_num(&redis, "GET p:goim:nodes:version"), v);
    enter("b", "z1");
    assert_int_equal(test_num(&redis, "GET p:goim:nodes:version"), v + 1);
    leave("b", "z1");
    assert_int_equal(test_num(&redis, "GET p:goim:nodes:version"), v + 2);
    leave("b", "z1");
    assert_int_equal(test_num(&redis, "GET p:goim:nodes:version"), v + 2);

    /* the stream's expiry is renewed */

    test_do(&redis, "XADD p:goim:node:a 1-1 d x");
    assert_int_equal(test_num(&redis, "TTL p:goim:node:a"), -1);
    enter("a", "z1");
    assert_in_range(test_num(&redis, "TTL p:goim:node:a"), 3500, 3600);

    /* who was late makes readers look again, whichever way the clock went */

    test_do(&redis, "HSET p:goim:nodes:zones:a z1 %s", "1000 host/a");
    v = test_num(&redis, "GET p:goim:nodes:version");
    enter("a", "z1");
    assert_int_equal(test_num(&redis, "GET p:goim:nodes:version"), v + 1);
    test_do(&redis, "HSET p:goim:nodes:zones:a z1 %s",
            "9999999999999 host/a");
    enter("a", "z1");
    assert_int_equal(test_num(&redis, "GET p:goim:nodes:version"), v + 2);

    /* what nobody renewed for an hour is swept by anybody: that is no news */

    test_do(&redis, "ZADD p:goim:nodes:seen 1000 a/z1");
    test_do(&redis, "HSET p:goim:nodes:missed a 7");
    enter("c", "z1");
    assert_int_equal(left("a/z1"), -1);
    assert_int_equal(test_num(&redis, "ZCOUNT p:goim:nodes:seen 0 1000"), 0);
    assert_int_equal(test_num(&redis, "HEXISTS p:goim:nodes:missed a"), 0);
    assert_int_equal(test_num(&redis, "GET p:goim:nodes:version"), v + 3);

    /* in a full Redis too */

    test_do(&redis, "CONFIG SET maxmemory 1");
    enter("c", "z1");
    enter("d", "z1");
    test_do(&redis, "CONFIG SET maxmemory 0");
}


static void
test_young(void **state)
{
    int          i;
    answer_t     a;
    registry_t  *g;

    (void) state;

    /* the first node of all is known at once */

    g = registry_new(base, r, TTL, RENEW);
    assert_int_equal(look(g), 0);
    enter("a", "z1");
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a");
    registry_free(g);

    /* one that was registered before is not the first: others may follow */

    test_do(&redis, "DEL p:goim:nodes p:goim:nodes:version");
    g = registry_new(base, r, TTL, RENEW);
    assert_int_equal(enter_again("a", "z1", "host/a", "", 1, 1000, &a),
                     REGISTRY_OK);
    assert_int_equal(a.lapsed, 0);
    assert_int_equal(look(g), 0);
    assert_int_equal(enter_again("b", "z1", "host/b", "", 1, 1000, &a),
                     REGISTRY_OK);
    assert_int_equal(a.lapsed, 0);

    for (i = 0; i < 100 && !look(g); i++) {
        enter("a", "z1");
        enter("b", "z1");
        test_run(base, 50);
    }

    assert_in_range(i, 2, 99);
    assert_string_equal(known(g), "a b");

    /* who comes after that was not waited for, and is told */

    assert_int_equal(enter_again("c", "z1", "host/c", "", 1, 1000, &a),
                     REGISTRY_OK);
    assert_int_equal(a.lapsed, 1);
    leave("c", "z1");
    registry_free(g);

    /* an old one may be empty; a new reader knows at once */

    leave("a", "z1");
    leave("b", "z1");
    age();
    g = registry_new(base, r, TTL, RENEW);
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "");
    enter("a", "z1");
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a");
    registry_free(g);
}


/* The set is made when it has changed, or may have, not with each reading. */
static void
test_made(void **state)
{
    int          i;
    uint64_t     made;
    registry_t  *g;

    (void) state;

    enter("a", "z1");
    age();
    g = registry_new(base, r, 60000, 20000);
    assert_int_equal(look(g), 1);
    made = registry_made(g);

    for (i = 0; i < 100; i++) {
        enter("a", "z1");
        assert_int_equal(look(g), 1);
    }

    assert_int_equal(registry_made(g), made);
    assert_string_equal(known(g), "a");

    enter("b", "z1");
    assert_int_equal(look(g), 1);
    assert_true(registry_made(g) > made);
    assert_string_equal(known(g), "a b");

    /* Redis was away: who was late could not be seen */

    made = registry_made(g);
    svc_redis_reconnect(r);
    test_run(base, 50);
    test_wait(base, test_redis_up, r);
    assert_int_equal(look(g), 1);
    assert_true(registry_made(g) > made);

    registry_free(g);
}


static void
test_view(void **state)
{
    size_t                   i;
    registry_t              *g;
    answer_t                 a;
    const char *const       *lapsed;
    const registry_node_t   *node;

    (void) state;

    enter("b", "z1");
    age();
    g = registry_new(base, r, TTL, RENEW);
    enter("a", "z1");
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a b");

    /* zones, the newest first */

    enter_as("a", "z0", "host/a", "", 3, &a);
    enter_as("a", "z9", "host/a", "", 2, &a);
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a/3 b");
    node = registry_find(g, "a");
    assert_non_null(node);
    assert_string_equal(node->zone[0]->info->zone, "z0");
    assert_string_equal(node->zone[1]->info->zone, "z9");
    assert_string_equal(node->zone[2]->info->zone, "z1");
    assert_null(registry_find(g, "c"));
    assert_null(registry_find(g, "A"));

    /* who leaves is gone at once */

    leave("a", "z0");
    leave("a", "z9");
    leave("b", "z1");
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a");

    /* broken entries are skipped */

    test_do(&redis, "HSET p:goim:nodes x/y nonsense c/z %b", "\n\0", (size_t) 2);
    test_do(&redis, "INCR p:goim:nodes:version");
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a");

    /* one of three falls silent: it counts until its time is up */

    enter("b", "z1");
    enter("c", "z1");
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a b c");

    for (i = 0; i < 200 && strcmp(known(g), "a b c") == 0; i++) {
        enter("a", "z1");
        enter("b", "z1");
        assert_int_equal(look(g), 1);
        test_run(base, 25);
    }

    assert_string_equal(known(g), "a b");
    assert_in_range(i, 10, 199);
    assert_int_equal(registry_lapsed(g, &lapsed), 1);
    assert_string_equal(lapsed[0], "c");

    /* it is back, and known at once; what it missed is told */

    test_do(&redis, "HINCRBY p:goim:nodes:missed c 5");
    assert_int_equal(enter_again("c", "z1", "host/c", "", 1, 1000, &a),
                     REGISTRY_OK);
    assert_int_equal(a.missed, 5);
    assert_int_equal(a.lapsed, 0);
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a b c");
    assert_int_equal(registry_lapsed(g, &lapsed), 0);
    leave("c", "z1");
    assert_int_equal(look(g), 1);
    assert_int_equal(registry_lapsed(g, &lapsed), 0);
    assert_string_equal(known(g), "a b");

    /* Redis's clock ahead by hours: the others' entries are swept */

    test_do(&redis, "ZADD p:goim:nodes:seen 1000 b/z1");
    enter("a", "z1");
    assert_int_equal(left("b/z1"), -1);
    test_do(&redis, "INCR p:goim:nodes:version");
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a b");
    enter("b", "z1");

    /* all fall silent: rather those who renew are away */

    test_run(base, RENEW + 100);
    assert_int_equal(look(g), 1);
    test_run(base, TTL + 200);
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a b");

    registry_free(g);
}


/* What was changed is read now, not once a renewal. */
static void
look_wholly(registry_t *g)
{
    test_do(&redis, "INCR p:goim:nodes:version");
    assert_int_equal(look(g), 1);
}


static void
test_silent(void **state)
{
    size_t                  i;
    registry_t             *g;
    const registry_node_t  *node;

    static const char *const  servers[] = { "a", "b", "c", "d", "e" };

    (void) state;

    enter("d", "z1");
    enter("e", "z1");
    age();
    g = registry_new(base, r, 2 * TTL, 2 * RENEW);

    for (i = 0; i < 3; i++) {
        enter(servers[i], "z1");
        enter(servers[i], "z2");
        look_wholly(g);
        test_run(base, 100);
    }

    /* three of five do not renew any more, each has its last time: kept */

    for (i = 0; i < 300 && registry_silent(g) < 3; i++) {
        enter("d", "z1");
        enter("e", "z1");
        look_wholly(g);
        assert_string_equal(known(g), "a/2 b/2 c/2 d e");
        test_run(base, 25);
    }

    assert_int_equal(registry_silent(g), 3);
    node = registry_find(g, "a");
    assert_int_equal(node->renewed, 0);
    node = registry_find(g, "d");
    assert_int_equal(node->renewed, 1);

    /* one leaves: two of four are half */

    leave("b", "z1");
    leave("b", "z2");
    look_wholly(g);
    assert_string_equal(known(g), "d e");
    assert_int_equal(registry_silent(g), 0);

    /* who is back is back */

    enter("a", "z1");
    look_wholly(g);
    assert_string_equal(known(g), "a d e");

    /* all leave */

    leave("a", "z1");
    leave("d", "z1");
    leave("e", "z1");
    look(g);
    assert_string_equal(known(g), "");

    registry_free(g);
}


static void
test_loss(void **state)
{
    registry_t  *g;

    (void) state;

    enter("a", "z1");
    enter("b", "z1");
    age();
    g = registry_new(base, r, TTL, RENEW);
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a b");

    /* Redis has lost everything: that says nothing about the nodes */

    test_do(&redis, "FLUSHALL");
    test_do(&redis, "HSET p:goim:life n 1000 run_id x");
    svc_redis_reconnect(r);
    test_run(base, 20);
    test_wait(base, test_redis_up, r);
    look(g);
    assert_string_equal(known(g), "a b");
    enter("b", "z1");
    look(g);
    assert_string_equal(known(g), "a b");

    /* away */

    test_redis_kill(&redis, SIGKILL);
    test_run(base, 50);
    assert_int_equal(registry_read(g, on_read, NULL), -1);
    assert_string_equal(known(g), "a b");

    registry_free(g);
}


static void
test_many_readers(void **state)
{
    int          i;
    read_t       d = { 0, 0 };
    registry_t  *g;

    (void) state;

    enter("a", "z1");
    age();
    g = registry_new(base, r, TTL, RENEW);

    for (i = 0; i < 100; i++) {
        assert_int_equal(registry_read(g, on_read, &d), 0);
    }

    for (i = 0; i < 1000 && d.n < 100; i++) {
        test_run(base, 5);
    }

    assert_int_equal(d.n, 100);
    assert_int_equal(d.ok, 1);

    /* outstanding when Redis goes: told so */

    kill(redis.pid, SIGSTOP);
    d.n = 0;

    for (i = 0; i < 10; i++) {
        assert_int_equal(registry_read(g, on_read, &d), 0);
    }

    for (i = 0; i < 1000 && d.n < 10; i++) {
        test_run(base, 5);
    }

    kill(redis.pid, SIGCONT);
    assert_int_equal(d.n, 10);
    assert_int_equal(d.ok, 0);

    /* freed with a reading under way */

    test_wait(base, test_redis_up, r);
    registry_read(g, on_read, &d);
    registry_free(g);
    test_run(base, 50);
    assert_int_equal(d.n, 10);
}


static void
test_broken(void **state)
{
    registry_t  *g;

    (void) state;

    test_do(&redis, "SET p:goim:nodes x");
    test_do(&redis, "LPUSH p:goim:nodes:version x");
    test_do(&redis, "SET p:goim:nodes:seen x");
    test_do(&redis, "SET p:goim:nodes:zones:a x");

    g = registry_new(base, r, TTL, RENEW);
    assert_int_equal(look(g), 0);

    enter("a", "z1");
    age();
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a");

    test_do(&redis, "SET p:goim:nodes:version text");
    enter("b", "z1");
    assert_int_equal(look(g), 1);
    assert_string_equal(known(g), "a b");

    registry_free(g);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_enter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_young, setup, teardown),
        cmocka_unit_test_setup_teardown(test_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_view, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_readers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    evthread_use_pthreads();
    log_open(NULL, LOG_DEBUG);
    cmocka_set_test_filter(getenv("GOIM_TEST"));

    return cmocka_run_group_tests(tests, NULL, NULL);
}
