// Preloaded into the program by tests: calls to the file system below one folder are counted, and
// from the n-th on as many as asked for fail.
//
//   FAULT_UNDER  the folder, as a part of the paths used
//   FAULT_AT     n, from 1; 0 counts only
//   FAULT_FOR    how many calls in a row (1 unless set)
//   FAULT_KIND   full (ENOSPC where something is written or made), readonly (EROFS, likewise),
//   short
//                (half of a write is taken), sync (EIO from fsync), eintr (open, write and fsync
//                are interrupted), vanish (the folder is renamed away before the call)
//   FAULT_LOG    file that gets a line for each fault, and the number of calls at the end
//
// Only calls that the kind can strike count. Streams are opened over callbacks, since stdio's own
// calls to write cannot be replaced; as stdio does, they go on after a short write.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FDS = 1024 };
enum { MAKES = 1, WRITES = 2, SYNCS = 4, OPENS = 8, READS = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool ours[MAX_FDS];     // descriptors of files below the folder
static FILE *streams[MAX_FDS]; // by descriptor
static long n_calls, n_faults;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *setting(const char *name, const char *standard)
{
    const char *value = getenv(name);
    return value != NULL ? value : standard;
}

static bool kind_is(const char *name)
{
    return strcmp(setting("FAULT_KIND", ""), name) == 0;
}

static bool below(const char *path)
{
    const char *folder = setting("FAULT_UNDER", NULL);
    return folder != NULL && path != NULL && strstr(path, folder) != NULL &&
           strstr(path, ".gone") == NULL;
}

static bool can_strike(int what)
{
    if (kind_is("full") || kind_is("readonly")) return (what & (MAKES | WRITES)) != 0;
    if (kind_is("short")) return (what & WRITES) != 0;
    if (kind_is("sync")) return (what & SYNCS) != 0;
    if (kind_is("eintr")) return (what & (OPENS | WRITES | SYNCS)) != 0;
    return kind_is("vanish");
}

static void say(const char *format, long n, const char *call)
{
    int fd = REAL(open)(setting("FAULT_LOG", "/dev/null"), O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd < 0) return;
    dprintf(fd, format, n, call);
    (void)REAL(close)(fd);
}

static void vanish(void)
{
    char away[4096];
    const char *folder = setting("FAULT_UNDER", "");
    (void)snprintf(away, sizeof away, "%s.gone", folder);
    (void)REAL(rename)(folder, away);
}

// Whether this call is to fail; then errno is set. A short write has errno 0.
static bool struck(int what, const char *call)
{
    if (!can_strike(what)) return false;
    long first = atol(setting("FAULT_AT", "0")), count = atol(setting("FAULT_FOR", "1"));
    (void)pthread_mutex_lock(&lock);
    long n = ++n_calls;
    bool now = first > 0 && n >= first && n < first + count;
    n_faults += now;
    (void)pthread_mutex_unlock(&lock);
    if (!now) return false;
    say("fault at call %ld: %s\n", n, call);
    if (kind_is("vanish")) vanish();
    errno = kind_is("full")       ? ENOSPC
            : kind_is("readonly") ? EROFS
            : kind_is("sync")     ? EIO
            : kind_is("eintr")    ? EINTR
                                  : 0;
    return !kind_is("vanish");
}

__attribute__((destructor)) static void report(void)
{
    if (n_calls > 0) say("%ld calls%s\n", n_calls, "");
}

static bool fd_is_ours(int fd)
{
    return fd >= 0 && fd < MAX_FDS && ours[fd];
}

// ---- Descriptors -------------------------------------------------------------------------------

static int open_below(const char *path, int flags, mode_t mode)
{
    bool makes = (flags & (O_CREAT | O_TRUNC)) != 0;
    if (struck(OPENS | (makes ? MAKES : READS), "open")) return -1;
    int fd = REAL(open)(path, flags, mode);
    if (fd >= 0 && fd < MAX_FDS) ours[fd] = true;
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return below(path) ? open_below(path, flags, mode) : REAL(open)(path, flags, mode);
}

int close(int fd)
{
    if (fd_is_ours(fd)) ours[fd] = false;
    return REAL(close)(fd);
}

int fsync(int fd)
{
    return fd_is_ours(fd) && struck(SYNCS, "fsync") ? -1 : REAL(fsync)(fd);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (fd_is_ours(fd) && struck(WRITES, "pwrite")) {
        if (errno != 0) return -1;
        n = (n + 1) / 2;
    }
    return REAL(pwrite)(fd, data, n, at);
}

// ---- Streams -----------------------------------------------------------------------------------

// As stdio's: a short write is followed by another, an error ends it.
static ssize_t stream_write(void *cookie, const char *data, size_t n)
{
    int fd = (int)(intptr_t)cookie;
    size_t done = 0;
    while (done < n) {
        size_t part = n - done;
        if (struck(WRITES, "write")) {
            if (errno != 0) break;
            part = (part + 1) / 2;
        }
        ssize_t got = REAL(write)(fd, data + done, part);
        if (got <= 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static int stream_seek(void *cookie, off64_t *at, int whence)
{
    off64_t got = lseek64((int)(intptr_t)cookie, *at, whence);
    if (got < 0) return -1;
    *at = got;
    return 0;
}

static int stream_close(void *cookie)
{
    int fd = (int)(intptr_t)cookie;
    streams[fd] = NULL;
    return close(fd);
}

FILE *fopen(const char *path, const char *mode)
{
    if (!below(path) || mode[0] == 'r') return REAL(fopen)(path, mode);
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (mode[0] == 'w' ? O_TRUNC : O_APPEND);
    int fd = open_below(path, flags, 0666);
    if (fd < 0) return NULL;
    FILE *stream = fopencookie(
        (void *)(intptr_t)fd, mode,
        (cookie_io_functions_t){.write = stream_write, .seek = stream_seek, .close = stream_close});
    if (stream != NULL && fd < MAX_FDS) streams[fd] = stream;
    return stream;
}

int fileno(FILE *stream)
{
    for (int fd = 0; fd < MAX_FDS; fd++)
        if (streams[fd] == stream) return fd;
    return REAL(fileno)(stream);
}

// ---- Names -------------------------------------------------------------------------------------

int mkdir(const char *path, mode_t mode)
{
    return below(path) && struck(MAKES, "mkdir") ? -1 : REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to)
{
    return below(to) && struck(MAKES, "rename") ? -1 : REAL(rename)(from, to);
}

int symlink(const char *target, const char *path)
{
    return below(path) && struck(MAKES, "symlink") ? -1 : REAL(symlink)(target, path);
}

int unlink(const char *path)
{
    bool fails = below(path) && struck(kind_is("readonly") ? MAKES : READS, "unlink");
    return fails ? -1 : REAL(unlink)(path);
}

int access(const char *path, int mode)
{
    bool fails =
        below(path) && (mode & W_OK) != 0 && kind_is("readonly") && struck(MAKES, "access");
    return fails ? -1 : REAL(access)(path, mode);
}
