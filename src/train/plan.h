// What a step takes on many ranks, worked out from one rank's step, the gradient buckets and the
// links between ranks.
//
// A message of n bytes takes a + n / b seconds: latency a, bandwidth b (Hockney 1994). An
// all-reduce of n bytes over p ranks, g of them on each of h = p / g hosts, takes
//   ring           2 (p - 1) a + 2 (p - 1) / p n / b             (Patarasuk and Yuan 2009)
//   tree           2 ceil(log2 p) a + 2 n / b                    (two trees at once, each for half
//   of
//                                                                 the bytes: Sanders, Speck and
//                                                                 Traeff 2009)
//   hierarchical   2 (g - 1) a' + 2 (g - 1) / g n / b'           (ring within the host, a' and b'
//   its
//                + 2 (h - 1) a + 2 (h - 1) / h n / b              own link; then g rings over the
//                                                                 hosts, of n / g bytes each,
//                                                                 through the host's one link)
// Ring and tree within one host use its own link; over hosts the slower link sets the pace of all.
// The additions themselves are taken to be free, and communication not to slow the backward walk.
//
// Overlap: gradients become ready during the backward walk in proportion to their bytes; buckets go
// out one after another, each when it is ready and the one before is through. What is left after
// the walk's end is exposed, and so is the small sum of the losses, 2 ceil(log2 p) a.
#ifndef SHOAL_TRAIN_PLAN_H
#define SHOAL_TRAIN_PLAN_H

#include "core/status.h"

enum { PLAN_MAX_BUCKETS = 1024 };

enum plan_algorithm {
    PLAN_ALGORITHM_RING,
    PLAN_ALGORITHM_TREE,
    PLAN_ALGORITHM_HIERARCHICAL,
    PLAN_N_ALGORITHMS,
};
const char *plan_algorithm_name(enum plan_algorithm a);

struct plan_link {
    double latency_s, bytes_per_s;
};

struct plan {
    double forward_s, backward_s, other_s; // of one rank's step, without communication
    int n_buckets;
    double bucket_bytes[PLAN_MAX_BUCKETS]; // in the order in which they go out
    int ranks_per_host;
    struct plan_link within, between; // a host; hosts
    bool strong; // the global batch stays as it is: forward and backward are shared out
};

struct plan_outcome {
    double all_reduce_s; // sum over the buckets
    double exposed_s;    // what of it, and of the losses' sum, prolongs the step
    double step_s;
    double efficiency; // one rank's step over this one's; strong: over p times this one's
};

// As buckets_create makes them of slices without end: 1 MiB, then bucket_mib or a quarter of what
// is left. E_ARG where that is more than PLAN_MAX_BUCKETS.
MUST_USE status plan_set_buckets(struct plan *p, double mib, double bucket_mib);
double plan_all_reduce_s(const struct plan *p, enum plan_algorithm a, int ranks, double bytes);
struct plan_outcome plan_predict(const struct plan *p, enum plan_algorithm a, int ranks);

// The median over steps of step_s - comm_exposed_s in a metrics.jsonl, without its first tenth.
// Errors: E_IO, E_FORMAT with file and line.
MUST_USE status plan_read_step(const char *metrics_path, double *step_s);

enum { PLAN_MAX_MEASURED = 64 };

struct plan_measured {
    int n;
    struct {
        int ranks;
        double images_per_s, efficiency; // median of its lines; against the fewest ranks
    } at[PLAN_MAX_MEASURED];             // ascending ranks
};

// A CSV whose first line names its columns: "ranks" and "images_per_s" are read, and of a column
// "mode" the lines "weak" or, where strong, "strong". Errors: E_IO, E_FORMAT with file and line.
MUST_USE status plan_read_scaling(const char *csv_path, bool strong, struct plan_measured *out);

#endif
