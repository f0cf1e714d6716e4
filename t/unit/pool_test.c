/*
 * Memory in small pieces: apart, aligned, of any size, and gone at once.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "svc/pool.h"


static void
test_pool(void **state)
{
    int             round;
    char           *piece[200];
    size_t          i, j, n;
    svc_pool_t      pool = { NULL };
    svc_block_t    *kept;

    (void) state;

    for (round = 0; round < 3; round++) {

        for (i = 0; i < 200; i++) {
            n = (i * 37) % 500 + (i == 150 ? 40000 : 0);
            piece[i] = svc_pool_alloc(&pool, n);

            assert_non_null(piece[i]);
            assert_int_equal((uintptr_t) piece[i] % 16, 0);
            memset(piece[i], (int) i, n);
        }

        for (i = 0; i < 200; i++) {
            n = (i * 37) % 500 + (i == 150 ? 40000 : 0);

            for (j = 0; j < n; j++) {
                assert_int_equal((unsigned char) piece[i][j], i);
            }
        }

        svc_pool_reset(&pool);
    }

    /* what fits into a small block costs no malloc() any more */

    kept = pool.blocks;
    assert_non_null(kept);
    assert_non_null(svc_pool_alloc(&pool, 500));
    assert_non_null(svc_pool_alloc(&pool, 500));
    assert_ptr_equal(pool.blocks, kept);

    /* one that began with a large piece keeps nothing */

    svc_pool_free(&pool);
    assert_null(pool.blocks);
    svc_pool_reset(&pool);
    assert_non_null(svc_pool_alloc(&pool, 40000));
    svc_pool_reset(&pool);
    assert_null(pool.blocks);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
