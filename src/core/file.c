// Files on POSIX: calls interrupted by a signal are repeated, short reads and writes are continued,
// and what must survive a power cut is synced before it is named.
#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

enum { READ_AT_LEAST = 1 << 16 }; // bytes asked for where the size is unknown (pipes, /proc)

#define FAIL_ERRNO(verb, path) FAIL(E_IO, "cannot %s %s: %s", (verb), (path), strerror(errno))

static status descriptor_open(const char *path, int flags, int *fd)
{
    do *fd = open(path, flags | O_CLOEXEC);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0) FAIL_ERRNO("open", path);
    return OK;
}

// Reads to the end; data grows as needed and always has room for one byte more.
static status read_all(int fd, const char *path, size_t expected, char **data, size_t *n)
{
    size_t capacity = 0;
    *n = 0;
    TRY(mem_grow(data, &capacity, expected + 1));
    for (;;) {
        if (*n + 1 >= capacity) TRY(mem_grow(data, &capacity, *n + READ_AT_LEAST));
        ssize_t got = read(fd, *data + *n, capacity - *n - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) FAIL_ERRNO("read", path);
        if (got == 0) break;
        *n += (size_t)got;
    }
    (*data)[*n] = '\0';
    return OK;
}

status file_read(const char *path, char **data, size_t *n)
{
    status st = OK;
    struct stat info;
    int fd;
    char *all = NULL;
    TRY(descriptor_open(path, O_RDONLY, &fd));
    size_t expected = fstat(fd, &info) == 0 && info.st_size > 0 ? (size_t)info.st_size : 0;
    TRY_GOTO(st, read_all(fd, path, expected, &all, n), out);
    *data = all;
    all = NULL;
out:
    mem_free(all);
    (void)close(fd);
    return st;
}

static status map_descriptor(int fd, const char *path, struct file_map *out)
{
    struct stat info;
    if (fstat(fd, &info) != 0) FAIL_ERRNO("read", path);
    REQUIRE(S_ISREG(info.st_mode), E_IO, "cannot read %s: it is not a plain file", path);
    if (info.st_size == 0) {
        *out = (struct file_map){.data = (const unsigned char *)"", .size = 0};
        return OK;
    }
    void *p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) FAIL_ERRNO("map", path);
    *out = (struct file_map){.data = p, .size = (size_t)info.st_size};
    return OK;
}

status file_map(const char *path, struct file_map *out)
{
    int fd;
    TRY(descriptor_open(path, O_RDONLY, &fd));
    status st = map_descriptor(fd, path, out);
    (void)close(fd);
    return st;
}

void file_unmap(struct file_map *map)
{
    if (map->size > 0) (void)munmap((void *)map->data, map->size);
    *map = (struct file_map){0};
}

status file_open(const char *path, const char *mode, FILE **out)
{
    FILE *file;
    do file = fopen(path, mode);
    while (file == NULL && errno == EINTR);
    if (file == NULL) FAIL_ERRNO(mode[0] == 'r' ? "open" : "write", path);
    *out = file;
    return OK;
}

// Whether everything written so far went well. The stream remembers that an earlier write failed,
// but not why; trying again usually tells.
static status flush_stream(FILE *file, const char *path)
{
    errno = 0;
    bool failed_before = ferror(file) != 0;
    bool fails_now = fflush(file) != 0;
    if (fails_now) FAIL_ERRNO("write", path);
    REQUIRE(!failed_before, E_IO, "cannot write %s: a write failed; is the disk full?", path);
    return OK;
}

status file_close(FILE *file, const char *path)
{
    if (file == NULL) return OK;
    status st = flush_stream(file, path);
    if (fclose(file) != 0 && st == OK) FAIL_ERRNO("write", path);
    return st;
}

status file_atomic_open(const char *path, struct file_atomic *out)
{
    status st = OK;
    *out = (struct file_atomic){0};
    TRY_GOTO(st, mem_strdup(path, &out->path), failed);
    TRY_GOTO(st, mem_printf(&out->temporary, "%s.tmp-%ld", path, (long)getpid()), failed);
    TRY_GOTO(st, file_open(out->temporary, "wb", &out->file), failed);
    return OK;
failed:
    mem_free(out->temporary);
    mem_free(out->path);
    *out = (struct file_atomic){0};
    return st;
}

// Everything written so far is on the disk.
static status sync_stream(FILE *file, const char *path)
{
    TRY(flush_stream(file, path));
    int result;
    do result = fsync(fileno(file));
    while (result != 0 && errno == EINTR);
    if (result != 0) FAIL_ERRNO("sync", path);
    return OK;
}

status file_atomic_commit(struct file_atomic *f)
{
    status st = OK;
    char *folder = NULL;
    TRY_GOTO(st, file_folder_of(f->path, &folder), out); // after the rename no memory is asked for
    TRY_GOTO(st, sync_stream(f->file, f->path), out);
    FILE *file = f->file;
    f->file = NULL;
    TRY_GOTO(st, file_close(file, f->path), out);
    if (rename(f->temporary, f->path) != 0) {
        error_set(__FILE__, __LINE__, "cannot write %s: %s", f->path, strerror(errno));
        st = E_IO;
        goto out;
    }
    mem_free(f->temporary); // it has its name now: nothing to remove
    f->temporary = NULL;
    TRY_GOTO(st, file_sync_folder(folder), out);
out:
    mem_free(folder);
    file_atomic_abort(f);
    return st;
}

void file_atomic_abort(struct file_atomic *f)
{
    if (f->file != NULL) (void)fclose(f->file);
    if (f->temporary != NULL) (void)unlink(f->temporary);
    mem_free(f->temporary);
    mem_free(f->path);
    *f = (struct file_atomic){0};
}

status file_write(const char *path, const void *data, size_t n)
{
    struct file_atomic f;
    TRY(file_atomic_open(path, &f));
    if (n > 0 && fwrite(data, 1, n, f.file) != n) {
        int reason = errno;
        file_atomic_abort(&f);
        FAIL(E_IO, "cannot write %s: %s", path, strerror(reason));
    }
    return file_atomic_commit(&f);
}

status file_sync_folder(const char *path)
{
    int fd, result;
    TRY(descriptor_open(path, O_RDONLY | O_DIRECTORY, &fd));
    do result = fsync(fd);
    while (result != 0 && errno == EINTR);
    int reason = errno;
    (void)close(fd);
    // Some file systems (FUSE, CIFS) cannot sync a folder and say so; they order names themselves.
    if (result != 0 && reason != EINVAL && reason != ENOTSUP)
        FAIL(E_IO, "cannot sync folder %s: %s", path, strerror(reason));
    return OK;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static status make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && is_folder(path))) return OK;
    FAIL(E_IO, "cannot make folder %s: %s", path, strerror(errno));
}

status file_make_folders(const char *path)
{
    if (is_folder(path)) return OK;
    char *part = NULL;
    TRY(mem_strdup(path, &part));
    status st = OK;
    for (char *slash = strchr(part + strspn(part, "/"), '/'); slash != NULL && st == OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        st = make_folder(part);
        *slash = '/';
    }
    mem_free(part);
    return st != OK ? st : make_folder(path);
}

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

status file_size(const char *path, uint64_t *bytes)
{
    struct stat info;
    if (stat(path, &info) != 0) FAIL_ERRNO("read", path);
    *bytes = (uint64_t)info.st_size;
    return OK;
}

status file_folder_of(const char *path, char **out)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--; // "a/b/" is b in a
    while (n > 0 && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    return n == 0 ? mem_strdup(".", out) : mem_printf(out, "%.*s", (int)n, path);
}

static status remove_entries(DIR *dir, const char *path)
{
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char *child = NULL;
        TRY(mem_printf(&child, "%s/%s", path, entry->d_name));
        status st = file_remove_tree(child);
        mem_free(child);
        TRY(st);
    }
    if (errno != 0) FAIL_ERRNO("read", path);
    return OK;
}

status file_remove_tree(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0) {
        if (errno == ENOENT) return OK;
        FAIL_ERRNO("remove", path);
    }
    if (S_ISDIR(info.st_mode)) { // never through a link: lstat
        DIR *dir = opendir(path);
        if (dir == NULL) FAIL_ERRNO("remove", path);
        status st = remove_entries(dir, path);
        (void)closedir(dir);
        TRY(st);
    }
    if (remove(path) != 0 && errno != ENOENT) FAIL_ERRNO("remove", path);
    return OK;
}
