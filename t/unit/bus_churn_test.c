/* LINK: t/unit/test_bus.c */

/*
 * Jobs come, go, are killed and stand still while records flow through the
 * bus: what a comet makes of their appends (it drops, record by record, what
 * it has seen of a partition) is each acknowledged record, once, in the order
 * of its key. Each job is a process of its own that works as goim-job does:
 * one append in flight, repeated until it is acknowledged, then done.
 */

#include "test_bus.h"


#define KEYS   50
#define BATCH  200
#define QUEUE  20000


/* ---- a job ---- */

typedef struct {
    uint32_t       partition;
    goim_offset_t  offset;
    int            gone;            /* revoked meanwhile */
    char           text[32];
} rec_t;

static bus_consumer_t  *job;
static rec_t            queue[QUEUE];
static size_t           first, count, flying;
static int              stopping;
static struct event    *again_ev;


static void job_append(void);


static void
job_answer(svc_redis_t *own, redisReply *reply, void *data)
{
    size_t          i, n;
    rec_t          *q;
    struct timeval  tv = { 0, 50000 };

    (void) own;
    (void) data;

    n = flying;
    flying = 0;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        event_add(again_ev, &tv);
        return;
    }

    for (i = 0; i < n; i++) {
        q = &queue[first];
        first = (first + 1) % QUEUE;
        count--;

        if (!q->gone) {
            bus_done(job, q->partition, &q->offset);
        }
    }

    if (count < QUEUE / 4) {
        bus_resume(job);
    }

    job_append();
}


static void
job_append(void)
{
    int          argc;
    char         text[BATCH][96];
    size_t       i, j;
    rec_t       *q;
    const char  *argv[3 + 2 * BATCH];

    static const char  hex[] = "0123456789abcdef";

    if (flying || count == 0 || stopping) {
        return;
    }

    argc = 0;
    argv[argc++] = "XADD";
    argv[argc++] = "p:effects";
    argv[argc++] = "*";

    for (i = 0; i < count && i < BATCH; i++) {
        q = &queue[(first + i) % QUEUE];

        /* what is another's by now is left out, and what may be */

        if (q->gone || !bus_consumer_holds(job, q->partition)) {
            q->gone = 1;
            continue;
        }

        j = (size_t) sprintf(text[i], "%u ", q->partition);

        for (size_t b = 0; b < GOIM_OFFSET_LEN; b++) {
            text[i][j++] = hex[q->offset.b[b] >> 4];
            text[i][j++] = hex[q->offset.b[b] & 15];
        }

        sprintf(text[i] + j, " %s", q->text);
        argv[argc++] = "r";
        argv[argc++] = text[i];
    }

    if (argc == 3) {
        argv[argc++] = "-";
        argv[argc++] = "-";
    }

    flying = i;

    if (svc_redis_call(bus.r, job_answer, NULL, argc, argv, NULL) != 0) {
        flying = 0;
        event_add(again_ev, &(struct timeval) { 0, 50000 });
    }
}


static void
job_again(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;

    job_append();
}


static void
job_record(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    rec_t  *q;

    (void) data;

    if (count == QUEUE) {
        _exit(3);
    }

    q = &queue[(first + count++) % QUEUE];
    q->partition = rec->partition;
    q->offset = rec->offset;
    q->gone = 0;
    snprintf(q->text, sizeof(q->text), "%.*s", (int) rec->len,
             (const char *) rec->payload);

    if (count > QUEUE / 2) {
        bus_pause(c);
    }

    event_active(again_ev, EV_TIMEOUT, 0);
}


static void
job_revoked(bus_consumer_t *c, uint32_t partition, void *data)
{
    size_t  i;

    (void) c;
    (void) data;

    for (i = 0; i < count; i++) {
        if (queue[(first + i) % QUEUE].partition == partition) {
            queue[(first + i) % QUEUE].gone = 1;
        }
    }
}


static void
job_freed(void *data)
{
    (void) data;

    _exit(0);
}


static void
job_stop(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;

    stopping = 1;
    bus_consumer_free(job, job_freed, NULL);
}


/* a SIGTERM that comes before there is a handler waits for it */
static void
hold_sigterm(int how)
{
    sigset_t  set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(how, &set, NULL);
}


static void
job_main(void)
{
    char                   err[256];
    struct event          *term;
    bus_consumer_events_t  events = { job_record, job_revoked, NULL };

    prctl(PR_SET_PDEATHSIG, SIGKILL);

    bus.base = event_base_new();
    bus.r = svc_redis_new(bus.base, &bus.redis_conf, NULL);
    again_ev = evtimer_new(bus.base, job_again, NULL);
    term = evsignal_new(bus.base, SIGTERM, job_stop, NULL);
    event_add(term, NULL);
    hold_sigterm(SIG_UNBLOCK);

    job = bus_consumer_new(bus.base, &bus.conf, bus.r, &events, err,
                           sizeof(err));

    if (job == NULL) {
        log_write(LOG_ERROR, "%s", err);
        _exit(2);
    }

    event_base_dispatch(bus.base);
    _exit(4);
}


/* ---- the others ---- */

#define JOBS  3

static pid_t  jobs[JOBS];


static void
job_start(int i)
{
    fflush(NULL);
    hold_sigterm(SIG_BLOCK);
    jobs[i] = fork();
    assert_int_not_equal(jobs[i], -1);

    if (jobs[i] == 0) {
        job_main();
    }

    hold_sigterm(SIG_UNBLOCK);
}


static void
job_end(int i, int sig)
{
    int  status;

    kill(jobs[i], sig);
    kill(jobs[i], SIGCONT);
    waitpid(jobs[i], &status, 0);
    jobs[i] = 0;

    if (sig == SIGTERM && status != 0) {
        fail_msg("a job that was asked to stop ended with %d", status);
    }
}


/* Rounds of one record for each key: made[] is by number, then by key. */
static void
produce(maker_t *m, int rounds)
{
    int  from;

    from = (int) (nmade / KEYS);

    maker_send_many(m, KEYS, from, from + rounds, 10000);
}


/* ---- a comet ---- */

static char    *came;           /* how often each record counted */
static char     last_offset[PARTITIONS][33];
static char     last_id[64];
static long     last_of_key[KEYS];
static int      ncame;
static size_t   ndropped;


static void
comet_take(const char *text)
{
    char      offset[33];
    size_t    n;
    unsigned  partition, key, number;

    if (sscanf(text, "%u %32s k%u:%u", &partition, offset, &key, &number) != 4
        || partition >= PARTITIONS || key >= KEYS || number >= nmade / KEYS)
    {
        return;                 /* "-" */
    }

    n = (size_t) number * KEYS + key;

    if (strcmp(offset, last_offset[partition]) <= 0) {
        ndropped++;
        return;
    }

    strcpy(last_offset[partition], offset);

    if (made[n].result == BUS_FAILED) {
        fail_msg("record %zu came, but was said not to be written", n);
    }

    if (came[n]++ != 0) {
        fail_msg("record %zu came twice", n);
    }

    if (last_of_key[key] >= (long) n) {
        fail_msg("record %zu came after %ld", n, last_of_key[key]);
    }

    last_of_key[key] = (long) n;
    ncame += (made[n].result == BUS_OK);
}


static void
comet_read(void)
{
    size_t       i, j;
    redisReply  *reply, *e;

    do {
        reply = test_cmd(&bus.redis, "XRANGE p:effects %s + COUNT 1000",
                         last_id);

        for (i = 0; i < reply->elements; i++) {
            e = reply->element[i]->element[1];
            snprintf(last_id, sizeof(last_id), "(%s",
                     reply->element[i]->element[0]->str);

            for (j = 1; j < e->elements; j += 2) {
                comet_take(e->element[j]->str);
            }
        }

        i = reply->elements;
        freeReplyObject(reply);
    } while (i > 0);
}


static void
test_churn(void **state)
{
    int       i, k, step, nok;
    int64_t   end;
    maker_t   m;
    unsigned  seed;

    (void) state;

    seed = getenv("GOIM_SEED") ? (unsigned) atoi(getenv("GOIM_SEED"))
                               : (unsigned) getpid();
    srand(seed);
    fprintf(stderr, "GOIM_SEED=%u\n", seed);

    bus.conf.timeout = 10000;
    test_bus_prop("session.timeout.ms", "3000");
    test_bus_prop("heartbeat.interval.ms", "500");

    maker_ready(&m);

    for (i = 0; i < JOBS; i++) {
        job_start(i);
    }

    for (step = 0; step < 24; step++) {
        produce(&m, 10);
        i = rand() % JOBS;

        switch (rand() % 6) {

        case 0:
            job_end(i, SIGKILL);
            job_start(i);
            break;

        case 1:
            job_end(i, SIGTERM);
            job_start(i);
            break;

        case 2:
            /* longer than a lease; another may be standing already */
            kill(jobs[i], SIGSTOP);
            break;

        case 3:
            for (k = 0; k < JOBS; k++) {
                kill(jobs[k], SIGCONT);
            }

            break;

        case 4:
            if (rand() % 3 == 0) {
                test_redis_kill(&bus.redis, SIGKILL);
                test_redis_spawn(&bus.redis);
            }

            break;

        default:
            break;
        }

        for (k = 0; k < 10; k++) {
            produce(&m, 2);
            test_run(bus.base, 20 + rand() % 80);
        }
    }

    for (k = 0; k < JOBS; k++) {
        kill(jobs[k], SIGCONT);
    }

    maker_wait(&m);
    nok = m.result[BUS_OK];

    came = calloc(nmade, 1);
    strcpy(last_id, "-");
    memset(last_of_key, -1, sizeof(last_of_key));

    for (end = svc_now() + 2 * TEST_BOUND; ncame < nok; /* void */ ) {
        comet_read();

        if (svc_now() > end) {
            fail_msg("%d of %d acknowledged records came", ncame, nok);
        }

        test_run(bus.base, 50);
    }

    fprintf(stderr, "%d records, %d acknowledged, %zu appended again\n",
            m.sent, nok, ndropped);
    assert_in_range(nok, m.sent / 2, m.sent);

    for (i = 0; i < JOBS; i++) {
        job_end(i, SIGTERM);
    }

    maker_stop(&m);
    free(came);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        BUS_CASE(test_churn),
    };

    test_bus_init(LOG_INFO);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
