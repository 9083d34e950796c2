// What the benchmarks share.
#include "train/bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/clock.h"

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

status bench_config(int n_words, char **words, struct config *c)
{
    int n_paths = n_words > 0 && strchr(words[0], '=') == NULL;
    return config_load(n_paths > 0 ? words[0] : NULL, n_words - n_paths, words + n_paths, c);
}

struct bench_lap bench_now(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (struct bench_lap){clock_now_s(), seconds(u.ru_utime) + seconds(u.ru_stime)};
}

struct bench_lap bench_since(struct bench_lap begin)
{
    struct bench_lap now = bench_now();
    return (struct bench_lap){now.wall_s - begin.wall_s, now.cpu_s - begin.cpu_s};
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    return (v[(n - 1) / 2] + v[n / 2]) / 2;
}

struct bench_lap bench_median(const struct bench_lap *laps, int n)
{
    double wall[BENCH_MAX_LAPS], cpu[BENCH_MAX_LAPS];
    ASSERT(n >= 1 && n <= BENCH_MAX_LAPS);
    for (int i = 0; i < n; i++) {
        wall[i] = laps[i].wall_s;
        cpu[i] = laps[i].cpu_s;
    }
    return (struct bench_lap){median(wall, n), median(cpu, n)};
}

double bench_shortest_s(const struct bench_lap *laps, int n)
{
    double least = laps[0].wall_s;
    for (int i = 1; i < n; i++)
        if (laps[i].wall_s < least) least = laps[i].wall_s;
    return least;
}

double bench_peak_rss_mib(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024; // Linux counts in KiB
}

void bench_begin(struct json_write *w, const char *name)
{
    json_write_init(w, stdout, 1);
    json_write_object(w, NULL);
    json_write_text(w, "bench", name);
    json_write_text(w, "version", SHOAL_VERSION);
}

void bench_end(struct json_write *w)
{
    json_write_digits(w, "peak_rss_mib", bench_peak_rss_mib(), 6);
    json_write_end(w);
}

void bench_write_laps(struct json_write *w, const char *key, const struct bench_lap *laps, int n)
{
    struct bench_lap m = bench_median(laps, n);
    json_write_object(w, key);
    json_write_digits(w, "median_s", m.wall_s, 6);
    json_write_digits(w, "min_s", bench_shortest_s(laps, n), 6);
    json_write_digits(w, "cpu_s", m.cpu_s, 6);
    json_write_end(w);
}

void bench_write_device(struct json_write *w, const struct device *d)
{
    struct backend_description what;
    struct pool_stats pool;
    d->ops->describe(d->stream, &what);
    pool_stats(d->pool, &pool);
    json_write_text(w, "device", what.device);
    json_write_text(w, "library", what.library);
    json_write_integer(w, "threads", what.threads);
    json_write_digits(w, "pool_peak_mib", (double)pool.bytes_peak / 1048576, 6);
    if (what.bytes_peak > 0)
        json_write_digits(w, "device_peak_mib", (double)what.bytes_peak / 1048576, 6);
    json_write_digits(w, "pool_held_mib", (double)pool.bytes_held / 1048576, 6);
}
