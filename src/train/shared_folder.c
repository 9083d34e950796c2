// The test by a file: a name that never was cannot be in a network file system's cache.
#include "train/shared_folder.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"

enum { NAME_BYTES = 64, LIST_BYTES = 256 };

static status make_token(const char *folder, const char *name)
{
    char *path = NULL;
    TRY(mem_printf(&path, "%s/%s", folder, name));
    status st = file_write(path, name, strlen(name));
    mem_free(path);
    return st;
}

static void remove_token(const char *folder, const char *name)
{
    char *path = NULL;
    if (mem_printf(&path, "%s/%s", folder, name) != OK) return;
    (void)unlink(path);
    mem_free(path);
}

static status look(const char *folder, const char *name, char *missing)
{
    char *path = NULL;
    TRY(mem_printf(&path, "%s/%s", folder, name));
    *missing = !file_exists(path);
    mem_free(path);
    return OK;
}

static void name_them(const struct comm *comm, const char *folder, const char *missing)
{
    char list[LIST_BYTES] = "";
    int n = 0;
    size_t used = 0;
    for (int r = 0; r < comm_size(comm); r++) {
        if (!missing[r]) continue;
        if (n++ > 0 && used < sizeof list - 1)
            used += (size_t)snprintf(list + used, sizeof list - used, ", ");
        if (used < sizeof list - 1)
            used += (size_t)snprintf(list + used, sizeof list - used, "%d (%s)", r,
                                     comm_host_of(comm, r));
    }
    if (n == 0) return;
    log_warn(
        "train.out_dir %s is on rank 0's host %s alone: rank %s %s not see it; a run that goes "
        "on with rank 0 on another host would start afresh",
        folder, comm_host(comm), list, n == 1 ? "does" : "do");
}

static status gather_and_say(struct comm *comm, const char *folder, char missing)
{
    char *all = NULL;
    size_t *offset = NULL;
    status st = OK;
    TRY(mem_alloc(&offset, (size_t)comm_size(comm) + 1));
    TRY_GOTO(st, comm_gather(comm, &missing, 1, &all, offset), out);
    if (comm_rank(comm) == 0) name_them(comm, folder, all);
out:
    mem_free(all);
    mem_free(offset);
    return st;
}

status shared_folder_check(struct comm *comm, const char *path)
{
    char name[NAME_BYTES] = "", missing = 0;
    struct timespec now;
    status st = OK;
    if (comm_size(comm) == 1) return OK;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(name, sizeof name, ".seen-by-all-%d-%lld-%ld", (int)getpid(),
                   (long long)now.tv_sec, now.tv_nsec);
    if (comm_rank(comm) == 0) st = make_token(path, name);
    TRY(comm_all_ok(comm, st));
    TRY(comm_broadcast(comm, 0, name, sizeof name));
    TRY(comm_all_ok(comm, look(path, name, &missing)));
    st = gather_and_say(comm, path, missing);
    if (comm_rank(comm) == 0) remove_token(path, name);
    return st;
}
