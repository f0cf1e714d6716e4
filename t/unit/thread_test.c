/*
 * What blocks, in threads beside a loop (svc/thread.c).
 */

#include "test_redis.h"

#include "svc/thread.h"

#include <pthread.h>
#include <stdatomic.h>


static struct event_base  *base;


static int
setup(void **state)
{
    (void) state;

    base = event_base_new();

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    event_base_free(base);

    return 0;
}


/* ---- waking a loop ---- */

static int
is_set(void *data)
{
    return *(atomic_int *) data > 0;
}


static void
count(void *data)
{
    (*(atomic_int *) data)++;
}


static void *
wake_often(void *data)
{
    int  i;

    for (i = 0; i < 1000; i++) {
        svc_wake(data);
    }

    return NULL;
}


static void
test_wake(void **state)
{
    pthread_t   tid;
    atomic_int  n;
    svc_wake_t  w;

    (void) state;

    n = 0;
    assert_int_equal(svc_wake_init(&w, base, count, &n), 0);
    test_run(base, 20);
    assert_int_equal(n, 0);

    pthread_create(&tid, NULL, wake_often, &w);
    pthread_join(tid, NULL);
    test_wait(base, is_set, &n);
    test_run(base, 20);
    assert_int_equal(n, 1);

    svc_wake(&w);
    test_run(base, 20);
    assert_int_equal(n, 2);

    svc_wake_done(&w);
}


typedef struct {
    svc_wake_t  w;
    atomic_int  n;
} ends_t;


static void
end_it(void *data)
{
    ends_t  *e;

    e = data;
    e->n++;
    svc_wake_done(&e->w);
}


static void
test_wake_ends(void **state)
{
    ends_t  e;

    (void) state;

    e.n = 0;
    assert_int_equal(svc_wake_init(&e.w, base, end_it, &e), 0);
    svc_wake(&e.w);
    test_wait(base, is_set, &e.n);
    test_run(base, 20);
    assert_int_equal(e.n, 1);
}


/* ---- work ---- */

typedef struct {
    pthread_mutex_t  gate;          /* held: the work waits */
    pthread_t        loop;
    atomic_int       run;
    atomic_int       done;
    atomic_int       freed;
} work_t;


static void
work_run(void *data)
{
    work_t  *w;

    w = data;

    assert_false(pthread_equal(pthread_self(), w->loop));
    pthread_mutex_lock(&w->gate);
    pthread_mutex_unlock(&w->gate);
    w->run++;
}


static void
work_done(void *data)
{
    work_t  *w;

    w = data;

    assert_true(pthread_equal(pthread_self(), w->loop));
    assert_int_equal(w->freed, 0);
    w->done++;
}


static void
work_free(void *data)
{
    ((work_t *) data)->freed++;
}


static void
work_init(work_t *w)
{
    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->gate, NULL);
    w->loop = pthread_self();
}


static void
test_task(void **state)
{
    work_t  w;

    (void) state;

    work_init(&w);
    pthread_mutex_lock(&w.gate);
    assert_non_null(svc_task(base, work_run, work_done, work_free, &w));

    /* the loop goes on meanwhile */

    test_run(base, 50);
    assert_int_equal(w.run + w.done + w.freed, 0);

    pthread_mutex_unlock(&w.gate);
    test_wait(base, is_set, &w.freed);
    assert_int_equal(w.run, 1);
    assert_int_equal(w.done, 1);

    /* run already: told from the loop all the same */

    work_init(&w);
    assert_non_null(svc_task(base, NULL, work_done, work_free, &w));
    assert_int_equal(w.done, 0);
    test_wait(base, is_set, &w.freed);
    assert_int_equal(w.run, 0);
    assert_int_equal(w.done, 1);
}


static void
test_task_cancelled(void **state)
{
    work_t       w;
    svc_task_t  *t;

    (void) state;

    /* under way: freed when it is over */

    work_init(&w);
    pthread_mutex_lock(&w.gate);
    t = svc_task(base, work_run, work_done, work_free, &w);
    assert_non_null(t);
    svc_task_cancel(t);
    test_run(base, 20);
    assert_int_equal(w.freed, 0);
    pthread_mutex_unlock(&w.gate);
    test_wait(base, is_set, &w.freed);
    assert_int_equal(w.run, 1);
    assert_int_equal(w.done, 0);

    /* over, and not told yet */

    work_init(&w);
    t = svc_task(base, work_run, work_done, work_free, &w);
    assert_non_null(t);

    while (w.run == 0) {
        usleep(1000);
    }

    usleep(10000);
    svc_task_cancel(t);
    test_wait(base, is_set, &w.freed);
    assert_int_equal(w.done, 0);
}


static void
test_run_for(void **state)
{
    work_t  w;

    (void) state;

    work_init(&w);
    assert_true(svc_run(work_run, &w, 30));
    assert_int_equal(w.run, 1);

    pthread_mutex_lock(&w.gate);
    assert_false(svc_run(work_run, &w, 0));
    assert_false(svc_run(work_run, &w, 1));
    assert_int_equal(w.run, 1);
    pthread_mutex_unlock(&w.gate);

    while (w.run < 3) {
        usleep(1000);
    }
}


/* ---- sleep ---- */

static void *
sleeper(void *data)
{
    svc_nap(data, 600000);

    return NULL;
}


static void
test_nap(void **state)
{
    svc_nap_t  nap;
    pthread_t  tid;

    (void) state;

    assert_int_equal(svc_nap_init(&nap), 0);
    svc_nap(&nap, 10);

    /* woken before it sleeps, or while it does */

    pthread_create(&tid, NULL, sleeper, &nap);
    svc_nap_end(&nap);
    pthread_join(tid, NULL);

    pthread_create(&tid, NULL, sleeper, &nap);
    usleep(20000);
    svc_nap_end(&nap);
    pthread_join(tid, NULL);

    svc_nap_done(&nap);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_wake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wake_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_task, setup, teardown),
        cmocka_unit_test_setup_teardown(test_task_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_run_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nap, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
