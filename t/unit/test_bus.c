#include "test_bus.h"


test_bus_t  bus;
made_t     *made;
size_t      nmade;


/* ---- the bus under test ---- */

void
test_bus_init(int log_level)
{
    signal(SIGPIPE, SIG_IGN);
    evthread_use_pthreads();
    log_open(NULL, log_level);

    cmocka_set_test_filter(getenv("GOIM_TEST"));
}


int
test_bus_is_redis(void)
{
    return getenv("GOIM_BUS_KAFKA") == NULL;
}


void
test_bus_prop(const char *name, const char *value)
{
    size_t  i;

    for (i = 0; bus.props[i] != NULL; i += 2) {
        /* void */
    }

    assert_true(i + 2 < sizeof(bus.props) / sizeof(bus.props[0]));

    bus.props[i] = (char *) name;
    bus.props[i + 1] = (char *) value;
}


int
test_bus_setup(void **state)
{
    static int  n;

    (void) state;

    memset(&bus, 0, sizeof(bus));

    bus.base = event_base_new();
    bus.r = test_redis_open(&bus.redis, bus.base, &bus.redis_conf, NULL);

    snprintf(bus.topic, sizeof(bus.topic), "goim-%d-%d", (int) getpid(), n++);
    bus.conf.driver = (char *) (test_bus_is_redis() ? "redis" : "kafka");
    bus.conf.partitions = PARTITIONS;
    bus.conf.topic = bus.topic;
    bus.conf.group = bus.topic;
    bus.conf.generation = 1;
    bus.conf.props = bus.props;
    test_bus_prop("bootstrap.servers", getenv("GOIM_BUS_KAFKA"));

    made = NULL;
    nmade = 0;

    return 0;
}


int
test_bus_teardown(void **state)
{
    (void) state;

    test_redis_close(&bus.redis, bus.base, bus.r);
    free(made);

    return 0;
}


int
test_bus_drained(void *data)
{
    (void) data;

    return test_num(&bus.redis, "XLEN p:goim:bus:%d",
                    (int) goim_partition("k0", 2, PARTITIONS)) == 0;
}


/* ---- a consumer that remembers ---- */

static void
eater_record(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    seen_t   *s;
    eater_t  *e;

    e = data;

    assert_true(bus_consumer_holds(c, rec->partition));

    if (e->n == e->size) {
        e->size = e->size ? e->size * 2 : 1024;
        e->seen = realloc(e->seen, e->size * sizeof(seen_t));
        assert_non_null(e->seen);
    }

    s = &e->seen[e->n++];
    s->partition = rec->partition;
    s->offset = rec->offset;
    snprintf(s->text, sizeof(s->text), "%.*s", (int) rec->len,
             (const char *) rec->payload);

    if (e->ack) {
        bus_done(c, rec->partition, &rec->offset);
    }

    if (e->pause_at == e->n) {
        bus_pause(c);
    }
}


static void
eater_revoked(bus_consumer_t *c, uint32_t partition, void *data)
{
    (void) c;
    (void) partition;

    ((eater_t *) data)->revoked++;
}


static void
eater_freed(void *data)
{
    ((eater_t *) data)->freed = 1;
}


void
eater_start_with(eater_t *e, eater_record_pt record)
{
    char                   err[256];
    bus_consumer_events_t  events = { record, eater_revoked, e };

    memset(e, 0, sizeof(*e));

    e->c = bus_consumer_new(bus.base, &bus.conf, bus.r, &events, err,
                            sizeof(err));

    if (e->c == NULL) {
        fail_msg("%s", err);
    }
}


void
eater_start(eater_t *e, int ack)
{
    eater_start_with(e, eater_record);
    e->ack = ack;
}


static int
eater_is_freed(void *data)
{
    return ((eater_t *) data)->freed;
}


void
eater_stop(eater_t *e)
{
    bus_consumer_free(e->c, eater_freed, e);
    assert_false(e->freed);
    test_wait(bus.base, eater_is_freed, e);
    e->c = NULL;
}


void
eater_forget(eater_t *e)
{
    free(e->seen);
    e->seen = NULL;
    e->n = 0;
    e->size = 0;
}


void
eater_end(eater_t *e)
{
    eater_stop(e);
    eater_forget(e);
}


typedef struct {
    eater_t   *a;
    eater_t   *b;
    size_t     n;
} want_t;


static int
eaten(void *data)
{
    want_t  *w;

    w = data;

    return w->a->n >= w->n;
}


void
eater_wait(eater_t *e, size_t n)
{
    want_t  w = { e, NULL, n };

    if (!test_until(bus.base, eaten, &w, TEST_BOUND)) {
        fail_msg("%zu of %zu records came", e->n, n);
    }
}


static int
owned(void *data)
{
    want_t  *w;

    w = data;

    return bus_consumer_owned(w->a->c) == w->n
           && (w->b == NULL
               || bus_consumer_owned(w->b->c) == PARTITIONS - w->n);
}


int
eater_until_owned(eater_t *a, eater_t *b, size_t n)
{
    want_t  w = { a, b, n };

    return test_until(bus.base, owned, &w, 60000);
}


void
eater_wait_owned(eater_t *a, eater_t *b, size_t n)
{
    if (!eater_until_owned(a, b, n)) {
        fail_msg("%u partitions owned, not %zu", bus_consumer_owned(a->c),
                 n);
    }
}


void
eater_check_order(eater_t *e)
{
    size_t           i;
    const seen_t    *s;
    const seen_t    *last[PARTITIONS];

    memset(last, 0, sizeof(last));

    for (i = 0; i < e->n; i++) {
        s = &e->seen[i];

        if (last[s->partition] != NULL) {
            assert_true(goim_offset_cmp(&last[s->partition]->offset,
                                        &s->offset) < 0);
        }

        last[s->partition] = s;
    }
}


size_t
eater_count(eater_t *e, int key, int number)
{
    char    text[32];
    size_t  i, n;

    snprintf(text, sizeof(text), "k%d:%d", key, number);
    n = 0;

    for (i = 0; i < e->n; i++) {
        if (strcmp(e->seen[i].text, text) == 0) {
            n++;
        }
    }

    return n;
}


/* ---- a producer that counts ---- */

static void
maker_produced(bus_result_t result, void *data)
{
    made_t  *d;

    d = &made[(size_t) data];

    assert_int_equal(d->answered, 0);
    d->answered = 1;
    d->result = result;
    d->m->answered++;
    d->m->result[result]++;
}


void
maker_start(maker_t *m)
{
    char  err[256];

    memset(m, 0, sizeof(*m));

    m->p = bus_producer_new(bus.base, &bus.conf, bus.r, err, sizeof(err));

    if (m->p == NULL) {
        fail_msg("%s", err);
    }
}


static int
maker_knows(void *data)
{
    maker_t  *m;

    m = data;

    return bus_producer_partitions(m->p) == PARTITIONS
           && bus_producer_healthy(m->p);
}


void
maker_ready(maker_t *m)
{
    maker_start(m);
    test_wait(bus.base, maker_knows, m);
}


static size_t  maker_len;


static size_t
maker_pack(const void *what, uint8_t *payload)
{
    memcpy(payload, what, maker_len);

    return maker_len;
}


void
maker_send_raw(maker_t *m, const char *key, const void *payload, size_t len,
    int64_t timeout)
{
    int            before;
    bus_message_t  msg;

    if (nmade % 1024 == 0) {
        made = realloc(made, (nmade + 1024) * sizeof(made_t));
        assert_non_null(made);
    }

    memset(&made[nmade], 0, sizeof(made_t));
    made[nmade].m = m;

    m->sent++;
    before = m->answered;

    msg.key = key;
    msg.key_len = strlen(key);
    msg.of = 0;
    msg.len = len;
    msg.pack = maker_pack;
    msg.what = payload;
    msg.from = "";
    msg.headers = NULL;
    msg.timeout = timeout;
    msg.cb = maker_produced;
    msg.data = (void *) nmade++;

    maker_len = len;
    bus_produce(m->p, &msg);

    /* never from inside the call */

    assert_int_equal(m->answered, before);
}


void
maker_send(maker_t *m, int key, int number, int64_t timeout)
{
    char  name[16], text[32];

    snprintf(name, sizeof(name), "k%d", key);
    snprintf(text, sizeof(text), "k%d:%d", key, number);

    maker_send_raw(m, name, text, strlen(text), timeout);

    made[nmade - 1].key = key;
    made[nmade - 1].number = number;
}


void
maker_send_many(maker_t *m, int keys, int from, int to, int64_t timeout)
{
    int  i, k;

    for (i = from; i < to; i++) {
        for (k = 0; k < keys; k++) {
            maker_send(m, k, i, timeout);
        }
    }
}


static int
maker_idle(void *data)
{
    maker_t  *m;

    m = data;

    return m->answered == m->sent;
}


void
maker_wait(maker_t *m)
{
    if (!test_until(bus.base, maker_idle, m, 60000)) {
        fail_msg("%d of %d produced are answered", m->answered, m->sent);
    }
}


void
maker_stop(maker_t *m)
{
    bus_producer_free(m->p);
    m->p = NULL;
}
