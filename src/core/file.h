// Files: read whole, written whole or not at all.
#ifndef SHOAL_CORE_FILE_H
#define SHOAL_CORE_FILE_H

#include <stdint.h>
#include <stdio.h>

#include "core/status.h"

// All errors are E_IO and name the path and the system's reason.

// Reads a whole file; *data has a NUL after its n bytes and is the caller's (mem_free).
MUST_USE status file_read(const char *path, char **data, size_t *n);
// A read-only mapping, or plain memory for an empty file. Unmap with file_unmap.
struct file_map {
    const unsigned char *data;
    size_t size;
};
MUST_USE status file_map(const char *path, struct file_map *out);
void file_unmap(struct file_map *map);

MUST_USE status file_open(const char *path, const char *mode, FILE **out);
// Flushes, and fails where anything written so far failed. file may be NULL. Always closes.
MUST_USE status file_close(FILE *file, const char *path);

// A file that appears under its name only when whole: written to PATH.tmp-PID, fsynced, renamed.
struct file_atomic {
    FILE *file;
    char *path, *temporary;
};
MUST_USE status file_atomic_open(const char *path, struct file_atomic *out);
// fsync, rename, fsync of the folder. On failure the temporary is removed.
MUST_USE status file_atomic_commit(struct file_atomic *f);
// Drops what was written; does nothing after a commit or a failed open.
void file_atomic_abort(struct file_atomic *f);
// The three in one.
MUST_USE status file_write(const char *path, const void *data, size_t n);

MUST_USE status file_sync_folder(const char *path);
// Makes the folder and its parents.
MUST_USE status file_make_folders(const char *path);
bool file_exists(const char *path);
MUST_USE status file_size(const char *path, uint64_t *bytes);
// The folder part of a path ("." where there is none), the caller's.
MUST_USE status file_folder_of(const char *path, char **out);
// Removes a folder and all in it; no error when it is not there.
MUST_USE status file_remove_tree(const char *path);

#endif
