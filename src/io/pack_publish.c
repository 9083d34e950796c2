// The last step of packing: files that are whole get their names.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "io/pack_internal.h"

static status move(const char *from_folder, const char *to_folder, const char *name,
                   const char *ending)
{
    char *from = NULL, *to = NULL;
    status st = OK;
    TRY_GOTO(st, mem_printf(&from, "%s/%s%s", from_folder, name, ending), out);
    TRY_GOTO(st, mem_printf(&to, "%s/%s%s", to_folder, name, ending), out);
    if (rename(from, to) != 0) {
        error_set(__FILE__, __LINE__, "cannot rename %s to %s: %s", from, to, strerror(errno));
        st = E_IO;
    }
out:
    mem_free(to);
    mem_free(from);
    return st;
}

static bool has_shard(const struct manifest *m, const char *file)
{
    for (int i = 0; i < m->n_shards; i++)
        if (strcmp(m->shards[i].file, file) == 0) return true;
    return false;
}

static status drop_file(const char *folder, const char *name, const char *ending)
{
    char *path = NULL;
    TRY(mem_printf(&path, "%s/%s%s", folder, name, ending));
    if (unlink(path) != 0 && errno != ENOENT)
        log_warn("cannot remove %s: %s", path, strerror(errno));
    mem_free(path);
    return OK;
}

static status move_all(const char *folder, const char *to, const char *name,
                       const struct manifest *m)
{
    for (int i = 0; i < m->n_shards; i++) {
        TRY(move(folder, to, m->shards[i].file, ""));
        TRY(move(folder, to, m->shards[i].file, ".idx"));
    }
    return move(folder, to, name, ".pbtxt");
}

// Shards that the older manifest lists and the new one does not would be taken for ours by index.
static status drop_older(const char *to, const struct manifest *older, const struct manifest *m)
{
    for (int i = 0; i < older->n_shards; i++) {
        if (has_shard(m, older->shards[i].file)) continue;
        TRY(drop_file(to, older->shards[i].file, ""));
        TRY(drop_file(to, older->shards[i].file, ".idx"));
    }
    return OK;
}

status pack_publish(const char *folder, const struct pack_part *part,
                    const struct manifest *manifest)
{
    const char *slash = strrchr(part->path, '/');
    const char *name = slash != NULL ? slash + 1 : part->path;
    struct manifest older = {0};
    char *to = NULL, *path = NULL;
    status st = OK;
    TRY_GOTO(st, file_folder_of(part->path, &to), out);
    TRY_GOTO(st, mem_printf(&path, "%s.json", part->path), out);
    if (file_exists(path) && manifest_read(path, &older) != OK)
        older = (struct manifest){0}; // whatever it was, its name is ours now
    // From here until the new manifest is there, there is none: a crash leaves no mixture behind.
    TRY_GOTO(st, drop_file(to, name, ".json"), out);
    TRY_GOTO(st, move_all(folder, to, name, manifest), out);
    TRY_GOTO(st, drop_older(to, &older, manifest), out);
    TRY_GOTO(st, file_sync_folder(to), out);
    TRY_GOTO(st, manifest_write(manifest, path), out);
out:
    manifest_fini(&older);
    mem_free(path);
    mem_free(to);
    return st;
}
