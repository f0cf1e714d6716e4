/* LINK: logic/pages.c */

/*
 * Pages that are kept: those of one key, within the bound, the least used go
 * first; who holds one still has it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "logic/pages.h"

#define ITEM  1000


static void
put(logic_pages_t *p, const char *room, const char *epoch, uint64_t after,
    uint32_t limit, const char *text)
{
    uint8_t            data[ITEM];
    logic_page_key_t   key = { room, epoch, after, limit };
    logic_page_item_t  items[2];

    memset(data, ' ', sizeof(data));
    memcpy(data, text, strlen(text));

    items[0].data = data;
    items[0].len = sizeof(data);
    items[1].data = (const uint8_t *) "";
    items[1].len = 0;

    logic_pages_put(p, &key, items, 2);
}


static const logic_page_t *
get(logic_pages_t *p, const char *room, const char *epoch, uint64_t after,
    uint32_t limit)
{
    logic_page_key_t  key = { room, epoch, after, limit };

    return logic_pages_get(p, &key);
}


static void
pages_by_all_of_the_key(void **state)
{
    logic_pages_t       *p;
    const logic_page_t  *page;

    (void) state;

    p = logic_pages_new(1 << 20);
    put(p, "live://1", "e", 100, 50, "one");
    put(p, "live://1", "e", 100, 50, "two");

    assert_null(get(p, "live://2", "e", 100, 50));
    assert_null(get(p, "live://1", "f", 100, 50));
    assert_null(get(p, "live://1", "e", 101, 50));
    assert_null(get(p, "live://1", "e", 100, 51));

    page = get(p, "live://1", "e", 100, 50);
    assert_non_null(page);
    assert_int_equal(page->n, 2);
    assert_int_equal(page->items[0].len, ITEM);
    assert_memory_equal(page->items[0].data, "one ", 4);
    assert_int_equal(page->items[1].len, 0);

    logic_pages_free(p);
    assert_memory_equal(page->items[0].data, "one ", 4);
    logic_page_unref(page);
}


static void
pages_within_the_bound(void **state)
{
    char                 text[16];
    unsigned             i;
    logic_pages_t       *p;
    const logic_page_t  *first, *page;

    (void) state;

    p = logic_pages_new(20 * ITEM);
    put(p, "r", "e", 0, 1, "0");
    first = get(p, "r", "e", 0, 1);

    for (i = 1; i < 1000; i++) {
        snprintf(text, sizeof(text), "%u", i);
        put(p, "r", "e", i, 1, text);
        assert_true(logic_pages_bytes(p) <= 20 * ITEM);

        page = get(p, "r", "e", i - 1, 1);
        assert_non_null(page);
        logic_page_unref(page);

        if (i < 500) {                  /* in use, and so it stays */
            page = get(p, "r", "e", 0, 1);
            assert_ptr_equal(page, first);
            logic_page_unref(page);
        }
    }

    assert_true(logic_pages_bytes(p) > 15 * ITEM);
    assert_null(get(p, "r", "e", 0, 1));
    assert_null(get(p, "r", "e", 900, 1));
    assert_memory_equal(first->items[0].data, "0 ", 2);
    logic_page_unref(first);

    logic_pages_free(p);

    p = logic_pages_new(ITEM);
    put(p, "r", "e", 0, 1, "larger than all");
    assert_null(get(p, "r", "e", 0, 1));
    assert_int_equal(logic_pages_bytes(p), 0);
    logic_pages_free(p);
}


static void *
pages_thread(void *data)
{
    char                 text[16];
    unsigned             i, seed;
    const logic_page_t  *page;

    seed = 1;

    for (i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        snprintf(text, sizeof(text), "%u ", seed >> 16 & 31);
        page = get(data, "r", "e", seed >> 16 & 31, 1);

        if (page == NULL) {
            put(data, "r", "e", seed >> 16 & 31, 1, text);
            continue;
        }

        if (memcmp(page->items[0].data, text, strlen(text)) != 0) {
            return data;
        }

        logic_page_unref(page);
    }

    return NULL;
}


static void
pages_of_threads(void **state)
{
    void           *wrong;
    unsigned        i;
    pthread_t       tid[4];
    logic_pages_t  *p;

    (void) state;

    p = logic_pages_new(20 * ITEM);

    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&tid[i], NULL, pages_thread, p), 0);
    }

    for (i = 0; i < 4; i++) {
        pthread_join(tid[i], &wrong);
        assert_null(wrong);
    }

    logic_pages_free(p);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(pages_by_all_of_the_key),
        cmocka_unit_test(pages_within_the_bound),
        cmocka_unit_test(pages_of_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
