// Files: whole or not at all, whatever goes wrong on the way.
#include "core/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

#include "core/mem.h"
#include "support/test.h"

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int turn;
    char *p = path[turn++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", test_folder(), name);
    return p;
}

static int n_entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) return -1;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) n += e->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

static void expect_content(const char *path, const char *want)
{
    char *data = NULL;
    size_t n = 0;
    EXPECT_OK(file_read(path, &data, &n));
    if (data == NULL) return;
    EXPECT_EQ(n, strlen(want));
    EXPECT_STR(data, want);
    mem_free(data);
}

TEST(what_is_written_is_read_back_with_a_nul_behind)
{
    const char *path = in_folder("a");
    EXPECT_OK(file_write(path, "one\0two", 7));
    char *data = NULL;
    size_t n = 0;
    EXPECT_OK(file_read(path, &data, &n));
    EXPECT_EQ(n, 7);
    EXPECT(memcmp(data, "one\0two", 8) == 0);
    mem_free(data);
    uint64_t bytes = 0;
    EXPECT_OK(file_size(path, &bytes));
    EXPECT_EQ(bytes, 7);
    EXPECT_OK(file_write(path, "", 0));
    expect_content(path, "");
}

TEST(files_of_unknown_size_are_read_whole)
{
    char *data = NULL;
    size_t n = 0;
    EXPECT_OK(file_read("/proc/self/status", &data, &n));
    EXPECT(n > 100 && strlen(data) == n);
    mem_free(data);
}

TEST(a_map_shows_the_file_and_an_empty_file_maps)
{
    const char *path = in_folder("mapped");
    struct file_map map;
    EXPECT_OK(file_write(path, "abc", 3));
    EXPECT_OK(file_map(path, &map));
    EXPECT(map.size == 3 && memcmp(map.data, "abc", 3) == 0);
    file_unmap(&map);
    EXPECT(map.data == NULL);
    EXPECT_OK(file_write(path, NULL, 0));
    EXPECT_OK(file_map(path, &map));
    EXPECT(map.size == 0 && map.data != NULL);
    file_unmap(&map);
    EXPECT_STATUS(file_map(test_folder(), &map), E_IO);
    EXPECT_HAS(error_text(), "not a plain file");
}

TEST(errors_name_the_path_and_the_reason)
{
    char *data = NULL;
    size_t n = 0;
    FILE *file = NULL;
    EXPECT_STATUS(file_read(in_folder("missing"), &data, &n), E_IO);
    EXPECT_HAS(error_text(), "missing: No such file or directory");
    EXPECT_STATUS(file_read(test_folder(), &data, &n), E_IO);
    EXPECT_HAS(error_text(), "Is a directory");
    EXPECT_STATUS(file_open(in_folder("no/such"), "wb", &file), E_IO);
    EXPECT_HAS(error_text(), "no/such: No such file");
    EXPECT(data == NULL && file == NULL);
}

TEST(a_full_disk_is_reported_when_the_file_is_closed)
{
    FILE *file = NULL;
    EXPECT_OK(file_open("/dev/full", "wb", &file));
    EXPECT(fputs("lost", file) >= 0);
    EXPECT_STATUS(file_close(file, "/dev/full"), E_IO);
    EXPECT_STR(error_text(), "cannot write /dev/full: No space left on device");
    EXPECT_OK(file_close(NULL, "nothing"));
}

// The kernel writes a part up to the limit, then refuses the rest.
TEST(a_write_cut_short_leaves_the_old_file_and_no_temporary)
{
    char folder[256], path[300];
    (void)snprintf(folder, sizeof folder, "%s", in_folder("limited"));
    (void)snprintf(path, sizeof path, "%s/file", folder);
    EXPECT_OK(file_make_folders(folder));
    EXPECT_OK(file_write(path, "old", 3));
    static char large[100000];
    struct rlimit before, limit;
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 50000;
    (void)signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_STATUS(file_write(path, large, sizeof large), E_IO);
    EXPECT_HAS(error_text(), "limited/file: File too large");
    struct file_atomic f;
    EXPECT_OK(file_atomic_open(path, &f));
    EXPECT(fwrite(large, 1, sizeof large, f.file) < sizeof large);
    EXPECT_STATUS(file_atomic_commit(&f), E_IO);
    EXPECT_HAS(error_text(), "limited/file: ");
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    expect_content(path, "old");
    EXPECT_EQ(n_entries(folder), 1);
}

TEST(a_rename_that_fails_leaves_no_temporary)
{
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s", in_folder("taken"));
    EXPECT_OK(file_make_folders(in_folder("taken/name/full")));
    EXPECT_STATUS(file_write(in_folder("taken/name"), "x", 1), E_IO);
    EXPECT_HAS(error_text(), "taken/name: Is a directory");
    EXPECT_EQ(n_entries(folder), 1);
}

TEST(an_aborted_file_never_appears)
{
    struct file_atomic f;
    const char *path = in_folder("aborted");
    EXPECT_OK(file_atomic_open(path, &f));
    EXPECT(fputs("half", f.file) >= 0);
    EXPECT(file_exists(f.temporary));
    char temporary[300];
    (void)snprintf(temporary, sizeof temporary, "%s", f.temporary);
    file_atomic_abort(&f);
    EXPECT(!file_exists(path) && !file_exists(temporary));
    file_atomic_abort(&f); // again: nothing happens
    EXPECT_STATUS(file_atomic_open(in_folder("no/such"), &f), E_IO);
    file_atomic_abort(&f);
    EXPECT_OK(file_atomic_open(path, &f));
    EXPECT_OK(file_atomic_commit(&f));
    file_atomic_abort(&f);
    EXPECT(file_exists(path));
}

TEST(every_refused_allocation_leaves_the_folder_as_it_was)
{
    char folder[256], path[300];
    (void)snprintf(folder, sizeof folder, "%s", in_folder("memory"));
    (void)snprintf(path, sizeof path, "%s/file", folder);
    EXPECT_OK(file_make_folders(folder));
    status st = E_NOMEM;
    int n_failures = 0;
    for (; st != OK && n_failures < 20; n_failures++) {
        mem_fail_at(n_failures + 1);
        st = file_write(path, "new", 3);
        mem_fail_at(0);
        if (st != OK) EXPECT(st == E_NOMEM && n_entries(folder) == 0);
    }
    EXPECT_EQ(n_failures, 4);
    EXPECT_EQ(n_entries(folder), 1);
    expect_content(path, "new");
}

static void ignore_alarm(int signal_number)
{
    (void)signal_number;
}

static void *write_slowly(void *path)
{
    FILE *fifo = NULL;
    EXPECT_OK(file_open(path, "wb", &fifo));
    for (int i = 0; i < 3; i++) {
        (void)usleep(20000);
        EXPECT(fputs("part ", fifo) >= 0 && fflush(fifo) == 0);
    }
    EXPECT_OK(file_close(fifo, path));
    return NULL;
}

TEST(calls_interrupted_by_signals_are_repeated)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s", in_folder("fifo"));
    EXPECT_EQ(mkfifo(path, 0600), 0);
    sigset_t alarm_only, before_set;
    (void)sigemptyset(&alarm_only);
    (void)sigaddset(&alarm_only, SIGALRM);
    (void)pthread_sigmask(SIG_BLOCK, &alarm_only, &before_set); // the writer never sees it
    pthread_t writer;
    EXPECT_EQ(pthread_create(&writer, NULL, write_slowly, path), 0);
    (void)pthread_sigmask(SIG_SETMASK, &before_set, NULL);

    struct sigaction action = {.sa_handler = ignore_alarm}, before; // no SA_RESTART: EINTR
    EXPECT_EQ(sigaction(SIGALRM, &action, &before), 0);
    struct itimerval every = {.it_interval.tv_usec = 2000, .it_value.tv_usec = 2000}, off = {0};
    EXPECT_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
    expect_content(path, "part part part ");
    EXPECT_EQ(setitimer(ITIMER_REAL, &off, NULL), 0);
    (void)pthread_join(writer, NULL);
    EXPECT_EQ(sigaction(SIGALRM, &before, NULL), 0);
}

TEST(folders_are_made_with_their_parents_and_removed_with_all_in_them)
{
    char top[256];
    (void)snprintf(top, sizeof top, "%s", in_folder("tree"));
    EXPECT_OK(file_make_folders(in_folder("tree/a//b/c/")));
    EXPECT_OK(file_make_folders(in_folder("tree/a/b")));
    EXPECT_OK(file_write(in_folder("tree/a/b/file"), "x", 1));
    EXPECT_STATUS(file_make_folders(in_folder("tree/a/b/file/d")), E_IO);
    EXPECT_HAS(error_text(), "cannot make folder");
    EXPECT_STATUS(file_make_folders(""), E_IO);
    EXPECT_OK(file_write(in_folder("outside"), "kept", 4));
    EXPECT_EQ(symlink("../../outside", in_folder("tree/a/link")), 0);
    EXPECT_EQ(symlink("nowhere", in_folder("tree/broken")), 0);
    EXPECT_OK(file_remove_tree(top));
    EXPECT(!file_exists(top));
    EXPECT_OK(file_remove_tree(top));
    expect_content(in_folder("outside"), "kept");
}

TEST(the_folder_of_a_path_is_all_before_its_last_name)
{
    static const char *const cases[][2] = {{"a/b", "a"},  {"a", "."},        {"/a", "/"},
                                           {"/", "/"},    {"", "."},         {"a/b/", "a"},
                                           {"a//b", "a"}, {"/a/b/c", "/a/b"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *folder = NULL;
        EXPECT_OK(file_folder_of(cases[i][0], &folder));
        EXPECT_STR(folder, cases[i][1]);
        mem_free(folder);
    }
}

TEST_MAIN()
