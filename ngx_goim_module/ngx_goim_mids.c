
/*
 * Lists of mids, sorted.
 */


#include "ngx_goim_mids.h"


ngx_int_t
ngx_goim_mids_add(ngx_goim_mids_t *mids, u_char *p, size_t len)
{
    ngx_int_t   mid;
    ngx_uint_t  i;

    mid = ngx_atoi(p, len);

    if (mid <= 0) {
        return NGX_DECLINED;
    }

    i = ngx_goim_mids_place(mids, mid);

    if (i < mids->n && mids->mid[i] == mid) {
        return NGX_OK;
    }

    if (mids->n == NGX_GOIM_TRACE_MIDS) {
        return NGX_BUSY;
    }

    ngx_memmove(&mids->mid[i + 1], &mids->mid[i],
                (mids->n - i) * sizeof(int64_t));

    mids->mid[i] = mid;
    mids->n++;

    return NGX_OK;
}


ngx_uint_t
ngx_goim_mids_place(const ngx_goim_mids_t *mids, int64_t mid)
{
    ngx_uint_t  low, high, middle;

    low = 0;
    high = mids->n;

    while (low < high) {
        middle = (low + high) / 2;

        if (mids->mid[middle] < mid) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


ngx_uint_t
ngx_goim_mids_equal(const ngx_goim_mids_t *a, const ngx_goim_mids_t *b)
{
    return a->n == b->n
           && ngx_memcmp(a->mid, b->mid, a->n * sizeof(int64_t)) == 0;
}
