// Runs a fuzz target over files and the files of folders, in any build: what was found once stays
// mended. replay PATH...
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/mem.h"
#include "fuzz/fuzz.h"

static int n_files, n_bad;

static void run_file(const char *path)
{
    char *data = NULL;
    size_t n;
    if (file_read(path, &data, &n) != OK) {
        printf("%s\n", error_text());
        n_bad++;
        return;
    }
    printf("%s\n", path);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)data, n);
    mem_free(data);
    n_files++;
}

static void run_folder(const char *path)
{
    DIR *folder = opendir(path);
    for (const struct dirent *e; folder != NULL && (e = readdir(folder)) != NULL;) {
        char child[4096];
        if (e->d_name[0] == '.') continue;
        (void)snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        run_file(child);
    }
    if (folder != NULL) (void)closedir(folder);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0); // the file that ends the program is the last one named
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode))
            run_folder(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("%d files\n", n_files);
    return n_bad > 0 || n_files == 0;
}
