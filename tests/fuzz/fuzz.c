// Inputs as files, without a disk.
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void must(bool good, const char *what)
{
    if (good) return;
    perror(what);
    abort();
}

const char *fuzz_file(const uint8_t *data, size_t n)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        must((fd = memfd_create("input", MFD_CLOEXEC)) >= 0, "memfd_create");
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    must(ftruncate(fd, 0) == 0, "ftruncate");
    for (size_t done = 0; done < n;) {
        ssize_t wrote = pwrite(fd, data + done, n - done, (off_t)done);
        must(wrote > 0, "pwrite");
        done += (size_t)wrote;
    }
    return path;
}

void fuzz_expect(status st)
{
    if (st != OK && error_text()[0] == '\0') abort(); // an error without words
    error_clear();
}
