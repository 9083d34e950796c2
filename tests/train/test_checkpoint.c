// Checkpoints: what is written is read back, what is damaged is refused by name, and what is kept.
#include "train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "support/test.h"

static const char *const files[] = {"state.json", "model.safetensors", "optimizer.safetensors"};

struct run {
    struct config config;
    struct device *device;
    struct params *params;
    struct optimizer *optimizer;
    struct category categories[2];
    struct label_set labels;
    struct checkpoint_writer *writer;
    char *yaml;
};

static void open_run(struct run *r, const char *out_dir, int keep)
{
    struct param *q;
    *r = (struct run){.categories = {{1, 1, (char *)"cat"}, {2, 5, (char *)"dog"}}};
    r->labels = (struct label_set){2, r->categories};
    config_defaults(&r->config);
    r->config.optimizer.name = CONFIG_OPTIMIZER_ADAM;
    EXPECT_OK(config_dump(&r->config, &r->yaml));
    EXPECT_OK(device_open_cpu(1, DTYPE_F32, &r->device));
    EXPECT_OK(params_create(r->device, &r->params));
    EXPECT_OK(params_add(r->params, "w", PARAM_KIND_WEIGHT, true, shape_4(2, 1, 1, 3), &q));
    EXPECT_OK(params_add(r->params, "b", PARAM_KIND_BIAS, true, shape_1(2), &q));
    EXPECT_OK(params_finish(r->params));
    EXPECT_OK(optimizer_create(&r->config.optimizer, r->params, &r->optimizer));
    EXPECT_OK(checkpoint_writer_create(out_dir, keep, &r->writer));
}

static void close_run(struct run *r)
{
    checkpoint_writer_destroy(r->writer);
    optimizer_destroy(r->optimizer);
    params_destroy(r->params);
    device_close(r->device);
    mem_free(r->yaml);
}

// Weights and state that differ from step to step.
static void fill(struct run *r, float from)
{
    float host[64];
    for (int i = 0; i < 64; i++) host[i] = from + (float)i;
    for (int i = 0; i < params_n(r->params); i++)
        EXPECT_OK(param_import(r->params, params_at(r->params, i), host));
    EXPECT(params_n_trainable(r->params) <= 64);
    for (int i = 0; i < 2; i++) {
        host[0] = -from - (float)i;
        EXPECT_OK(optimizer_import(r->optimizer, i, host));
    }
}

// Weights and state as they are.
static status submit(struct run *r, int64_t step)
{
    struct checkpoint_state s = {.step = step,
                                 .epoch = step / 7,
                                 .seed = 11,
                                 .layout = {.ranks = 2, .threads = 3, .micro_batch = 4},
                                 .train_checksum = 0xfedcba9876543210u,
                                 .val_checksum = 1,
                                 .config_yaml = r->yaml};
    snprintf(s.layout.device, sizeof s.layout.device, "cpu: \"quoted\" \\ name");
    return checkpoint_writer_submit(r->writer, r->params, r->optimizer, &r->config, &r->labels, &s);
}

static void put(struct run *r, int64_t step)
{
    fill(r, (float)step);
    EXPECT_OK(submit(r, step));
    EXPECT_OK(checkpoint_writer_wait(r->writer));
}

static bool has_step(const char *out_dir, int64_t step)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/checkpoints/step-%08lld/state.json", out_dir, (long long)step);
    return file_exists(path);
}

static void expect_link(const char *out_dir, const char *link, const char *want)
{
    char path[1024], target[512] = "";
    snprintf(path, sizeof path, "%s/checkpoints/%s", out_dir, link);
    ssize_t n = readlink(path, target, sizeof target - 1);
    EXPECT_STR(n < 0 ? "none" : target, want);
}

TEST(what_is_written_is_read_back)
{
    struct run r;
    struct checkpoint_state s;
    struct shape shape;
    char *folder = NULL;
    float w[6], state[64];
    char out[512];
    snprintf(out, sizeof out, "%s", test_path("round"));
    EXPECT(!checkpoint_exists(out));
    open_run(&r, out, 3);
    EXPECT(!checkpoint_exists(out));
    EXPECT_OK(checkpoint_find(out, &folder));
    EXPECT(folder == NULL);
    put(&r, 1000);
    EXPECT(checkpoint_exists(out));
    EXPECT_OK(checkpoint_find(out, &folder));
    EXPECT_HAS(folder, "round/checkpoints/step-00001000");
    EXPECT_OK(checkpoint_read_state(folder, &s));
    EXPECT(s.step == 1000 && s.epoch == 142 && s.seed == 11);
    EXPECT(s.layout.ranks == 2 && s.layout.threads == 3 && s.layout.micro_batch == 4);
    EXPECT_STR(s.layout.device, "cpu: \"quoted\" \\ name");
    EXPECT(s.train_checksum == 0xfedcba9876543210u && s.val_checksum == 1);
    EXPECT_STR(s.config_yaml, r.yaml);
    checkpoint_state_fini(&s);
    fill(&r, 0);
    EXPECT_OK(checkpoint_load(folder, r.params, r.optimizer));
    EXPECT_OK(param_export(r.params, params_at(r.params, 0), w, &shape));
    for (int i = 0; i < 6; i++) EXPECT_EQ(w[i], 1000 + i);
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(optimizer_export(r.optimizer, i, state));
        EXPECT(state[0] == -1000.0f - (float)i && state[1] == 1001.0f);
    }
    mem_free(folder);
    close_run(&r);
}

// Damages FOLDER/name with f and checks that it is refused by name, and that the older is found.
static void expect_refused(const char *out, const char *name, const char *data, size_t n,
                           const char *how, size_t where)
{
    char path[1024], *folder = NULL;
    snprintf(path, sizeof path, "%s/checkpoints/step-00000002/%s", out, name);
    EXPECT_OK(file_write(path, data, n));
    path[strlen(path) - strlen(name) - 1] = '\0';
    status st = checkpoint_verify(path);
    if (st != E_FORMAT && st != E_IO)
        test_fail(__FILE__, __LINE__, "%s %s at %zu: not refused", name, how, where);
    else
        EXPECT_HAS(error_text(), name);
    if (where % 64 == 0) { // each says so in the log
        EXPECT_OK(checkpoint_find(out, &folder));
        EXPECT_HAS(folder, "step-00000001");
        mem_free(folder);
    }
}

TEST(any_byte_flipped_or_missing_is_refused_by_name)
{
    struct run r;
    char out[512];
    snprintf(out, sizeof out, "%s", test_path("flip"));
    open_run(&r, out, 3);
    put(&r, 1);
    put(&r, 2);
    for (size_t f = 0; f < COUNT(files); f++) {
        char path[1024], *data = NULL;
        size_t n = 0;
        snprintf(path, sizeof path, "%s/checkpoints/step-00000002/%s", out, files[f]);
        EXPECT_OK(file_read(path, &data, &n));
        for (size_t i = 0; i < n; i++) {
            if (i % 3 != 0 && i + 100 < n && i > 100) continue;
            data[i] ^= (char)(1 << (i % 8));
            expect_refused(out, files[f], data, n, "flipped", i);
            data[i] ^= (char)(1 << (i % 8));
        }
        for (size_t i = 0; i < n; i += 1 + n / 64) expect_refused(out, files[f], data, i, "cut", i);
        expect_refused(out, files[f], data, n - 1, "cut", n - 1);
        EXPECT_EQ(unlink(path), 0);
        char folder[1024];
        snprintf(folder, sizeof folder, "%s/checkpoints/step-00000002", out);
        EXPECT_STATUS(checkpoint_verify(folder), E_IO);
        EXPECT_HAS(error_text(), files[f]);
        EXPECT_OK(file_write(path, data, n));
        EXPECT_OK(checkpoint_verify(folder));
        mem_free(data);
    }
    close_run(&r);
}

// Puts value into the last float of a file of step 1.
static void poke_last(const char *out, const char *name, float value)
{
    char path[1024], *data = NULL;
    size_t n = 0;
    snprintf(path, sizeof path, "%s/checkpoints/step-00000001/%s", out, name);
    EXPECT_OK(file_read(path, &data, &n));
    memcpy(data + n - sizeof value, &value, sizeof value);
    EXPECT_OK(file_write(path, data, n));
    mem_free(data);
}

// As a run of another program, or one of ours gone wrong, might leave them with sums that agree.
TEST(weights_and_states_that_are_no_numbers_are_refused_by_name)
{
    struct run r;
    char out[512], folder[1024];
    snprintf(out, sizeof out, "%s", test_path("nan"));
    snprintf(folder, sizeof folder, "%s/checkpoints/step-00000001", out);
    open_run(&r, out, 3);
    put(&r, 1);
    poke_last(out, "optimizer.safetensors", NAN);
    EXPECT_STATUS(checkpoint_load(folder, r.params, r.optimizer), E_FORMAT);
    EXPECT_HAS(error_text(), "step-00000001/optimizer.safetensors: exp_avg_sq[31] is no number");
    poke_last(out, "optimizer.safetensors", INFINITY);
    EXPECT_OK(checkpoint_load(folder, r.params, r.optimizer));
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < COUNT(bad); i++) {
        poke_last(out, "model.safetensors", bad[i]);
        EXPECT_STATUS(checkpoint_load(folder, r.params, r.optimizer), E_FORMAT);
        EXPECT_HAS(error_text(), "step-00000001/model.safetensors: b[1] is not a finite number");
    }
    close_run(&r);
}

TEST(the_newest_and_the_best_are_kept)
{
    struct run r;
    char out[512];
    snprintf(out, sizeof out, "%s", test_path("keep"));
    open_run(&r, out, 2);
    for (int64_t step = 10; step <= 30; step += 10) put(&r, step);
    EXPECT(!has_step(out, 10) && has_step(out, 20) && has_step(out, 30));
    EXPECT_OK(checkpoint_writer_set_best(r.writer, 20));
    for (int64_t step = 40; step <= 60; step += 10) put(&r, step);
    EXPECT(has_step(out, 20) && !has_step(out, 30) && has_step(out, 50) && has_step(out, 60));
    expect_link(out, "best", "step-00000020");
    expect_link(out, "latest", "step-00000060");
    EXPECT_OK(checkpoint_writer_set_best(r.writer, 60));
    EXPECT(!has_step(out, 20) && !has_step(out, 40));
    expect_link(out, "best", "step-00000060");
    EXPECT_STATUS(checkpoint_writer_set_best(r.writer, 70), E_IO); // there is none
    expect_link(out, "best", "step-00000060");
    close_run(&r);
}

TEST(going_back_sets_later_checkpoints_aside)
{
    struct run r;
    char out[512], *folder = NULL;
    snprintf(out, sizeof out, "%s", test_path("back"));
    open_run(&r, out, 3);
    for (int64_t step = 10; step <= 30; step += 10) put(&r, step);
    EXPECT_OK(checkpoint_writer_set_best(r.writer, 30));
    EXPECT_OK(checkpoint_writer_rewind(r.writer, 10));
    EXPECT(has_step(out, 10) && !has_step(out, 20) && !has_step(out, 30));
    EXPECT(file_exists(test_path("back/checkpoints/step-00000030.aside/state.json")));
    expect_link(out, "latest", "step-00000010");
    expect_link(out, "best", "none");
    EXPECT_OK(checkpoint_find(out, &folder));
    EXPECT_HAS(folder, "step-00000010");
    mem_free(folder);
    EXPECT_OK(checkpoint_writer_rewind(r.writer, 0)); // from the start
    EXPECT(!checkpoint_exists(out));
    expect_link(out, "latest", "none");
    close_run(&r);
}

TEST(what_a_kill_left_is_swept)
{
    struct run r;
    char out[512];
    snprintf(out, sizeof out, "%s", test_path("sweep"));
    EXPECT_OK(file_make_folders(test_path("sweep/checkpoints/step-00000003.tmp-77")));
    EXPECT_OK(file_write(test_path("sweep/checkpoints/step-00000003.tmp-77/state.json"), "{", 1));
    EXPECT_EQ(symlink("step-00000003", test_path("sweep/checkpoints/latest.tmp-77")), 0);
    EXPECT(!checkpoint_exists(out)); // no checkpoint's name
    open_run(&r, out, 1);
    EXPECT(!file_exists(test_path("sweep/checkpoints/step-00000003.tmp-77")));
    struct stat info;
    EXPECT(lstat(test_path("sweep/checkpoints/latest.tmp-77"), &info) != 0);
    close_run(&r);
}

TEST(a_write_that_fails_costs_no_older_one_and_is_remembered)
{
    struct run r;
    char out[512];
    snprintf(out, sizeof out, "%s", test_path("fail"));
    open_run(&r, out, 1);
    put(&r, 1);
    EXPECT_EQ(rename(test_path("fail/checkpoints"), test_path("fail/moved")), 0);
    EXPECT_OK(file_write(test_path("fail/checkpoints"), "", 0)); // a file where the folder was
    EXPECT_OK(submit(&r, 2));
    EXPECT_STATUS(checkpoint_writer_wait(r.writer), E_IO);
    EXPECT_HAS(error_text(), "checkpoint of step 2 not written");
    EXPECT_EQ(unlink(test_path("fail/checkpoints")), 0);
    EXPECT_EQ(rename(test_path("fail/moved"), test_path("fail/checkpoints")), 0);
    EXPECT_OK(checkpoint_verify(test_path("fail/checkpoints/step-00000001")));
    put(&r, 3); // and the next one goes well
    EXPECT(has_step(out, 3));
    close_run(&r);
}

TEST(weights_that_are_not_finite_are_not_written)
{
    struct run r;
    char out[512];
    snprintf(out, sizeof out, "%s", test_path("finite"));
    open_run(&r, out, 1);
    EXPECT_STATUS(submit(&r, 1), OK);
    fill(&r, NAN);
    struct checkpoint_state s = {.step = 2, .config_yaml = r.yaml};
    EXPECT_STATUS(
        checkpoint_writer_submit(r.writer, r.params, r.optimizer, &r.config, &r.labels, &s),
        E_FORMAT);
    EXPECT_STATUS(checkpoint_writer_wait(r.writer), E_FORMAT); // as the run's end will ask
    EXPECT_HAS(error_text(), "checkpoint of step 2 not written: a weight is not finite");
    EXPECT(has_step(out, 1) && !has_step(out, 2));
    close_run(&r);
}

TEST(done_names_the_step_and_the_weights)
{
    struct run r;
    char out[512], *text = NULL;
    size_t n = 0;
    int64_t step = -1;
    snprintf(out, sizeof out, "%s", test_path("done"));
    open_run(&r, out, 1);
    EXPECT(!checkpoint_read_done(out, &step));
    EXPECT_STATUS(checkpoint_write_done(out, 5), E_IO); // without a checkpoint nothing is done
    put(&r, 5);
    EXPECT_OK(checkpoint_write_done(out, 5));
    EXPECT(checkpoint_read_done(out, &step) && step == 5);
    EXPECT_OK(file_read(test_path("done/done.json"), &text, &n));
    EXPECT_HAS(text, "\"model_checksum\": \"");
    EXPECT(strstr(text, "\"model_checksum\": \"\"") == NULL);
    mem_free(text);
    EXPECT_OK(checkpoint_remove_done(out));
    EXPECT_OK(checkpoint_remove_done(out));
    EXPECT(!checkpoint_read_done(out, &step));
    close_run(&r);
}

TEST(running_out_of_memory_while_copying_is_an_error_and_leaks_nothing)
{
    struct run r;
    char out[512];
    snprintf(out, sizeof out, "%s", test_path("memory"));
    open_run(&r, out, 1);
    put(&r, 1);
    status st = E_NOMEM;
    int64_t n = 1;
    for (; st != OK && n < 500; n++) { // the thread's allocations count too, and fail its write
        fill(&r, 2);
        mem_fail_at(n);
        st = submit(&r, 2);
        if (st == OK) st = checkpoint_writer_wait(r.writer);
        mem_fail_at(0);
        if (st != OK) EXPECT_EQ(st, E_NOMEM);
        if (st != OK) EXPECT(has_step(out, 1) || has_step(out, 2));
    }
    EXPECT(n > 20 && n < 500);
    close_run(&r);
}

TEST(running_out_of_memory_while_looking_for_the_newest_finds_no_older_one)
{
    struct run r;
    char out[512], *folder = NULL;
    status st = E_NOMEM;
    int n = 0;
    snprintf(out, sizeof out, "%s", test_path("look"));
    open_run(&r, out, 3);
    put(&r, 1);
    put(&r, 2);
    while (st != OK) {
        mem_fail_at(++n);
        st = checkpoint_find(out, &folder);
        mem_fail_at(0);
        if (st != OK) EXPECT(st == E_NOMEM && folder == NULL);
    }
    EXPECT_HAS(folder, "step-00000002");
    EXPECT(n > 10);
    mem_free(folder);
    close_run(&r);
}

TEST_MAIN()
