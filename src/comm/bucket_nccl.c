// Sums on GPUs.
#include "comm/bucket_internal.h"

status bucket_nccl_start(struct buckets *b)
{
    (void)b;
    FAIL(E_UNSUPPORTED, "several GPUs need NCCL, which this program was built without");
}

void bucket_nccl_stop(struct buckets *b)
{
    (void)b;
}

status bucket_nccl_meet(struct buckets *b)
{
    (void)b;
    return OK;
}

status bucket_nccl_join(struct buckets *b, int lane)
{
    (void)b, (void)lane;
    return OK;
}

void bucket_nccl_leave(struct buckets *b, int lane)
{
    (void)b, (void)lane;
}

status bucket_nccl_launch(struct buckets *b, int lane, const struct bucket *k)
{
    (void)b, (void)lane, (void)k;
    return OK;
}

status bucket_nccl_close(struct buckets *b, int lane, double *exposed_s)
{
    (void)b, (void)lane, (void)exposed_s;
    return OK;
}

void bucket_nccl_describe(const struct buckets *b, char *text, size_t bytes)
{
    (void)b, (void)text, (void)bytes;
}
