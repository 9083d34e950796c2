// Spans by thread, and what they cost where profiling is off.
#include "core/profile.h"

#include <pthread.h>
#include <string.h>

#include "core/mem.h"
#include "support/test.h"

static const struct profile_track *find(const struct profile_tracks *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->items[i].name, name) == 0) return &t->items[i];
    return NULL;
}

static void span(enum profile_kind kind, const char *name)
{
    profile_end(profile_begin(), kind, name, NULL);
}

TEST(nothing_is_kept_and_no_memory_taken_while_it_is_off)
{
    struct profile_tracks t;
    profile_set(false);
    int64_t before = mem_n_allocs();
    EXPECT(!profile_enabled());
    EXPECT(profile_begin() == 0);
    for (int i = 0; i < 1000; i++) span(PROFILE_KIND_FORWARD, "conv2d");
    profile_name_thread("nobody");
    EXPECT_EQ(mem_n_allocs(), before);
    EXPECT_OK(profile_take(&t));
    EXPECT_EQ(t.n, 0);
    profile_tracks_fini(&t);
}

TEST(spans_are_kept_in_order_and_added_up_by_kind_and_name)
{
    struct profile_tracks t;
    int64_t n;
    profile_set(true);
    double outer = profile_begin();
    span(PROFILE_KIND_FORWARD, "conv2d");
    span(PROFILE_KIND_FORWARD, "conv2d");
    span(PROFILE_KIND_BACKWARD, "conv2d");
    profile_end(outer, PROFILE_KIND_PHASE, "forward", "whole");
    EXPECT_OK(profile_take(&t));
    EXPECT_EQ(t.n, 1);
    EXPECT_STR(t.items[0].name, "main");
    EXPECT_EQ(t.items[0].n_spans, 4);
    EXPECT_EQ(t.items[0].n_totals, 3);
    EXPECT_EQ(t.items[0].n_lost, 0);
    EXPECT_STR(t.items[0].spans[3].detail, "whole");
    double all = profile_tracks_seconds(&t, PROFILE_KIND_FORWARD, "conv2d", &n);
    EXPECT_EQ(n, 2);
    EXPECT(all == t.items[0].spans[0].seconds + t.items[0].spans[1].seconds);
    EXPECT(profile_tracks_seconds(&t, PROFILE_KIND_BACKWARD, "linear", &n) == 0 && n == 0);
    const struct profile_span *whole = &t.items[0].spans[3], *inner = &t.items[0].spans[0];
    EXPECT(whole->begin_s <= inner->begin_s && whole->seconds >= inner->seconds);
    profile_tracks_fini(&t);
    EXPECT_OK(profile_take(&t));
    EXPECT_EQ(t.n, 0); // it was taken
    profile_tracks_fini(&t);
    profile_set(false);
}

enum { N_THREADS = 4, N_SPANS = 2000 };

static void *work(void *name)
{
    profile_name_thread(name);
    for (int i = 0; i < N_SPANS; i++) span(PROFILE_KIND_WORK, i % 2 == 0 ? "read" : "decode");
    return NULL;
}

TEST(each_thread_has_a_track_and_taking_does_not_stop_it)
{
    static char names[N_THREADS][8] = {"a", "b", "c", "d"};
    pthread_t threads[N_THREADS];
    int64_t n_reads = 0, n_decodes = 0, n_spans = 0;
    profile_set(true);
    for (int i = 0; i < N_THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, work, names[i]), 0);
    for (int round = 0; round <= 20; round++) {
        struct profile_tracks t;
        int64_t n;
        if (round == 20)
            for (int i = 0; i < N_THREADS; i++) EXPECT_EQ(pthread_join(threads[i], NULL), 0);
        EXPECT_OK(profile_take(&t));
        for (size_t i = 0; i < t.n; i++) n_spans += (int64_t)t.items[i].n_spans;
        (void)profile_tracks_seconds(&t, PROFILE_KIND_WORK, "read", &n);
        n_reads += n;
        (void)profile_tracks_seconds(&t, PROFILE_KIND_WORK, "decode", &n);
        n_decodes += n;
        if (round == 20 && t.n > 0) EXPECT(find(&t, "main") == NULL);
        profile_tracks_fini(&t);
    }
    EXPECT_EQ(n_reads, N_THREADS * N_SPANS / 2);
    EXPECT_EQ(n_decodes, N_THREADS * N_SPANS / 2);
    EXPECT_EQ(n_spans, N_THREADS * N_SPANS);
    profile_set(false);
}

TEST(without_memory_spans_are_counted_and_the_work_goes_on)
{
    struct profile_tracks t;
    profile_set(true);
    span(PROFILE_KIND_WORK, "first");
    EXPECT_OK(profile_take(&t));
    profile_tracks_fini(&t);
    mem_fail_at(1);
    span(PROFILE_KIND_WORK, "second");
    mem_fail_at(0);
    EXPECT_STR(error_text(), "");
    EXPECT_OK(profile_take(&t));
    const struct profile_track *own = find(&t, "main");
    EXPECT(own != NULL);
    if (own != NULL) {
        EXPECT_EQ(own->n_spans, 0);
        EXPECT_EQ(own->n_lost, 1);
        EXPECT_EQ(own->n_totals, 1);
    }
    profile_tracks_fini(&t);
    profile_set(false);
}

TEST_MAIN()
