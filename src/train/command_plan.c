// shoal plan: predicted scaling, beside what was measured.
#include <stdio.h>

#include "core/mem.h"
#include "io/json_write.h"
#include "train/command.h"
#include "train/command_line.h"
#include "train/plan.h"

struct request {
    const char *metrics, *scaling;
    double step_s, backward, other, mib, bucket_mib;
    double latency_us, gbits, local_latency_us, local_gbits;
    int64_t ranks_per_host;
    bool strong, json;
};

enum { MOST_RANKS = 4096 };

static double bytes_per_s(double gbits)
{
    return gbits * 1e9 / 8;
}

static status make_plan(const struct request *q, struct plan *p)
{
    double step_s = q->step_s;
    REQUIRE((q->metrics != NULL) != (step_s > 0), E_ARG,
            "one of --step and --metrics says what a step takes");
    REQUIRE(q->backward + q->other <= 1, E_ARG,
            "--backward %g and --other %g are more than the whole step", q->backward, q->other);
    if (q->metrics != NULL) TRY(plan_read_step(q->metrics, &step_s));
    *p = (struct plan){
        .forward_s = (1 - q->backward - q->other) * step_s,
        .backward_s = q->backward * step_s,
        .other_s = q->other * step_s,
        .ranks_per_host = (int)q->ranks_per_host,
        .within = {q->local_latency_us * 1e-6, bytes_per_s(q->local_gbits)},
        .between = {q->latency_us * 1e-6, bytes_per_s(q->gbits)},
        .strong = q->strong,
    };
    return plan_set_buckets(p, q->mib, q->bucket_mib);
}

static double measured_at(const struct plan_measured *m, int ranks)
{
    for (int i = 0; i < m->n; i++)
        if (m->at[i].ranks == ranks) return m->at[i].efficiency;
    return -1;
}

// 1, 2, 4, ... and what was measured between; 0 at the end.
static int next_ranks(const struct plan_measured *m, int ranks)
{
    int next = 1;
    while (next <= ranks) next *= 2;
    for (int i = m->n - 1; i >= 0; i--)
        if (m->at[i].ranks > ranks && m->at[i].ranks < next) next = m->at[i].ranks;
    return next > MOST_RANKS ? 0 : next;
}

static void print_table(const struct plan *p, const struct plan_measured *m)
{
    double alone_s = p->forward_s + p->backward_s + p->other_s;
    printf("%s scaling of a step of %.4g s (backward %.4g s), %d buckets\n"
           "efficiency, and seconds of communication that prolong a step\n\n",
           p->strong ? "strong" : "weak", alone_s, p->backward_s, p->n_buckets);
    printf("%6s", "ranks");
    for (enum plan_algorithm a = 0; a < PLAN_N_ALGORITHMS; a++)
        printf("  %17s", plan_algorithm_name(a));
    printf("%s\n", m->n > 0 ? "   measured" : "");
    for (int ranks = 1; ranks > 0; ranks = next_ranks(m, ranks)) {
        printf("%6d", ranks);
        for (enum plan_algorithm a = 0; a < PLAN_N_ALGORITHMS; a++) {
            struct plan_outcome o = plan_predict(p, a, ranks);
            printf("  %6.1f %% %8.3g", 100 * o.efficiency, o.exposed_s);
        }
        double measured = measured_at(m, ranks);
        if (measured >= 0) printf("   %6.1f %%", 100 * measured);
        printf("\n");
    }
}

static void write_outcome(struct json_write *w, const char *key, const struct plan_outcome *o)
{
    json_write_object(w, key);
    json_write_digits(w, "efficiency", o->efficiency, 6);
    json_write_digits(w, "step_s", o->step_s, 6);
    json_write_digits(w, "all_reduce_s", o->all_reduce_s, 6);
    json_write_digits(w, "exposed_s", o->exposed_s, 6);
    json_write_end(w);
}

static void print_json(const struct plan *p, const struct plan_measured *m)
{
    struct json_write w;
    json_write_init(&w, stdout, 2);
    json_write_object(&w, NULL);
    json_write_text(&w, "scaling", p->strong ? "strong" : "weak");
    json_write_digits(&w, "forward_s", p->forward_s, 6);
    json_write_digits(&w, "backward_s", p->backward_s, 6);
    json_write_digits(&w, "other_s", p->other_s, 6);
    json_write_integer(&w, "n_buckets", p->n_buckets);
    json_write_array(&w, "at");
    for (int ranks = 1; ranks > 0; ranks = next_ranks(m, ranks)) {
        json_write_object(&w, NULL);
        json_write_integer(&w, "ranks", ranks);
        for (enum plan_algorithm a = 0; a < PLAN_N_ALGORITHMS; a++) {
            struct plan_outcome o = plan_predict(p, a, ranks);
            write_outcome(&w, plan_algorithm_name(a), &o);
        }
        double measured = measured_at(m, ranks);
        if (measured >= 0) json_write_digits(&w, "measured_efficiency", measured, 6);
        json_write_end(&w);
    }
    json_write_end(&w);
    json_write_end(&w);
}

static status run(const struct request *q)
{
    struct plan *p = NULL;
    struct plan_measured measured = {.n = 0};
    status st = OK;
    TRY(mem_alloc(&p, 1));
    TRY_GOTO(st, make_plan(q, p), out);
    if (q->scaling != NULL) TRY_GOTO(st, plan_read_scaling(q->scaling, q->strong, &measured), out);
    if (q->json)
        print_json(p, &measured);
    else
        print_table(p, &measured);
out:
    mem_free(p);
    return st;
}

status command_plan(int argc, char **argv)
{
    struct request q = {.backward = 0.6,
                        .other = 0.05,
                        .mib = 157,
                        .bucket_mib = 25,
                        .latency_us = 20,
                        .gbits = 10,
                        .local_latency_us = 2,
                        .local_gbits = 80,
                        .ranks_per_host = 1};
    const struct command_line_option options[] = {
        {"step", COMMAND_LINE_NUMBER, &q.step_s, "S", "seconds of one rank's step", 1e-9, 1e9,
         false},
        {"metrics", COMMAND_LINE_TEXT, &q.metrics, "FILE",
         "take it from a run's metrics.jsonl: the median of step_s - comm_exposed_s", 0, 0, false},
        {"backward", COMMAND_LINE_NUMBER, &q.backward, "X", "of the step, the backward walk (0.6)",
         0, 1, false},
        {"other", COMMAND_LINE_NUMBER, &q.other, "X",
         "of the step, what follows or does not shrink with the batch (0.05)", 0, 1, false},
        {"mib", COMMAND_LINE_NUMBER, &q.mib, "MIB", "of gradients (157: ResNet-50 FPN)", 1e-6,
         1048576, false},
        {"bucket-mib", COMMAND_LINE_NUMBER, &q.bucket_mib, "MIB", "comm.bucket_mib (25)", 1e-6,
         1048576, false},
        {"latency-us", COMMAND_LINE_NUMBER, &q.latency_us, "T",
         "of a message between hosts, in microseconds (20)", 0, 1e9, false},
        {"gbits", COMMAND_LINE_NUMBER, &q.gbits, "B", "a host's link, in Gbit/s (10)", 1e-6, 1e9,
         false},
        {"ranks-per-host", COMMAND_LINE_INTEGER, &q.ranks_per_host, "N", "(1)", 1, MOST_RANKS,
         false},
        {"local-latency-us", COMMAND_LINE_NUMBER, &q.local_latency_us, "T",
         "of a message within a host (2)", 0, 1e9, false},
        {"local-gbits", COMMAND_LINE_NUMBER, &q.local_gbits, "B", "within a host (80)", 1e-6, 1e9,
         false},
        {"strong", COMMAND_LINE_FLAG, &q.strong, NULL,
         "train.batch stays as it is; without it every rank's share does", 0, 0, false},
        {"scaling", COMMAND_LINE_TEXT, &q.scaling, "CSV",
         "print what was measured beside: columns ranks, images_per_s, perhaps mode", 0, 0, false},
        {"json", COMMAND_LINE_FLAG, &q.json, NULL, "one JSON object in the place of the table", 0,
         0, false},
    };
    const struct command_line line = {
        .usage = "shoal plan --step S | --metrics FILE [--gbits B] [--latency-us T] ... [--json]",
        .about = "Predicts how a run scales to 4096 ranks, with ring, tree and hierarchical "
                 "all-reduce overlapped with the backward walk bucket by bucket.",
        .options = options,
        .n_options = COUNT(options),
    };
    int n_words;
    char **words;
    bool is_help;
    TRY(command_line_parse(&line, argc, argv, &n_words, &words, &is_help));
    return is_help ? OK : run(&q);
}
