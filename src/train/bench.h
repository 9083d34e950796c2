// What the benchmarks share: times, and what their JSON says of the set-up. Figures are for people
// and for the scripts in bench/; no test looks at them.
#ifndef SHOAL_TRAIN_BENCH_H
#define SHOAL_TRAIN_BENCH_H

#include "core/config.h"
#include "io/json_write.h"
#include "tensor/device.h"

struct bench_lap {
    double wall_s, cpu_s; // cpu: user and system time of all threads of this process
};

enum { BENCH_MAX_LAPS = 1000 };

// config_load of [CONFIG] [key=value ...]: without a CONFIG, what is standard.
MUST_USE status bench_config(int n_words, char **words, struct config *c);
struct bench_lap bench_now(void);
struct bench_lap bench_since(struct bench_lap begin);
// The median of each of the two; n >= 1.
struct bench_lap bench_median(const struct bench_lap *laps, int n);
double bench_shortest_s(const struct bench_lap *laps, int n);
// Most memory that this process has held so far.
double bench_peak_rss_mib(void);

// Starts the one object on stdout: "bench": name and Shoal's version. bench_end closes it with the
// peak memory.
void bench_begin(struct json_write *w, const char *name);
void bench_end(struct json_write *w);
// key: {"median_s", "min_s", "cpu_s" (median)}
void bench_write_laps(struct json_write *w, const char *key, const struct bench_lap *laps, int n);
// Processor, library and threads; pool memory.
void bench_write_device(struct json_write *w, const struct device *d);

#endif
