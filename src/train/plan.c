// The formulas of plan.h.
#include "train/plan.h"

#include "comm/bucket.h"

static const double mib_bytes = 1048576;

const char *plan_algorithm_name(enum plan_algorithm a)
{
    static const char *const names[] = {"ring", "tree", "hierarchical"};
    return names[a];
}

static int ceil_log2(int n)
{
    int k = 0;
    while (1 << k < n) k++;
    return k;
}

status plan_set_buckets(struct plan *p, double mib, double bucket_mib)
{
    double left = mib;
    p->n_buckets = 0;
    while (left > 0) {
        double size = buckets_limit_mib(bucket_mib, p->n_buckets, left);
        REQUIRE(p->n_buckets < PLAN_MAX_BUCKETS, E_ARG,
                "%g MiB in buckets of %g MiB are more than %d buckets", mib, bucket_mib,
                PLAN_MAX_BUCKETS);
        if (size > left) size = left;
        p->bucket_bytes[p->n_buckets++] = size * mib_bytes;
        left -= size;
    }
    return OK;
}

static double ring_s(const struct plan_link *l, int ranks, double bytes)
{
    double hops = ranks - 1;
    return 2 * hops * l->latency_s + 2 * hops / ranks * bytes / l->bytes_per_s;
}

static double tree_s(const struct plan_link *l, int ranks, double bytes)
{
    return 2 * ceil_log2(ranks) * l->latency_s + 2 * bytes / l->bytes_per_s;
}

static bool fits_one_host(const struct plan *p, int ranks)
{
    return ranks <= p->ranks_per_host;
}

static const struct plan_link *slowest_link(const struct plan *p, int ranks)
{
    return fits_one_host(p, ranks) ? &p->within : &p->between;
}

double plan_all_reduce_s(const struct plan *p, enum plan_algorithm a, int ranks, double bytes)
{
    const struct plan_link *link = slowest_link(p, ranks);
    if (ranks == 1) return 0;
    if (a == PLAN_ALGORITHM_RING) return ring_s(link, ranks, bytes);
    if (a == PLAN_ALGORITHM_TREE) return tree_s(link, ranks, bytes);
    if (fits_one_host(p, ranks)) return ring_s(&p->within, ranks, bytes);
    int hosts = (ranks + p->ranks_per_host - 1) / p->ranks_per_host;
    return ring_s(&p->within, p->ranks_per_host, bytes) + ring_s(&p->between, hosts, bytes);
}

struct plan_outcome plan_predict(const struct plan *p, enum plan_algorithm a, int ranks)
{
    double share = p->strong ? 1.0 / ranks : 1;
    double forward_s = p->forward_s * share, backward_s = p->backward_s * share;
    double all_bytes = 0, ready_bytes = 0, through_s = 0;
    struct plan_outcome o = {.all_reduce_s = 0};
    for (int i = 0; i < p->n_buckets; i++) all_bytes += p->bucket_bytes[i];
    for (int i = 0; i < p->n_buckets; i++) {
        ready_bytes += p->bucket_bytes[i];
        double ready_s = forward_s + backward_s * ready_bytes / all_bytes;
        double takes_s = plan_all_reduce_s(p, a, ranks, p->bucket_bytes[i]);
        through_s = (through_s > ready_s ? through_s : ready_s) + takes_s;
        o.all_reduce_s += takes_s;
    }
    double walked_s = forward_s + backward_s;
    if (through_s > walked_s) o.exposed_s = through_s - walked_s;
    o.exposed_s += 2 * ceil_log2(ranks) * slowest_link(p, ranks)->latency_s;
    o.step_s = walked_s + p->other_s + o.exposed_s;
    double alone_s = p->forward_s + p->backward_s + p->other_s;
    o.efficiency = alone_s / o.step_s * share;
    return o;
}
