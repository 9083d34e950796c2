// The last step of packing: files that are whole get their names. Everything that takes memory or
// writes is done before the first of them is renamed.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "io/pack_internal.h"

struct rename_pair {
    char *from, *to;
};

// What is to be done, in this order: older manifests go, files come, files of older data sets that
// the new ones lack go, manifests come.
struct plan {
    char *to; // folder
    size_t n_files, files_capacity, n_manifests, manifests_capacity, n_older, older_capacity;
    struct rename_pair *files, *manifests;
    char **older;
};

static status add_pair(struct rename_pair **pairs, size_t *n, size_t *capacity, const char *from,
                       const char *to, const char *name, const char *ending)
{
    TRY(mem_grow(pairs, capacity, *n + 1));
    struct rename_pair *p = &(*pairs)[*n];
    *p = (struct rename_pair){NULL, NULL};
    (*n)++;
    TRY(mem_printf(&p->from, "%s/%s%s", from, name, ending));
    return mem_printf(&p->to, "%s/%s%s", to, name, ending);
}

static status add_file(struct plan *plan, const char *folder, const char *name, const char *ending)
{
    return add_pair(&plan->files, &plan->n_files, &plan->files_capacity, folder, plan->to, name,
                    ending);
}

static bool has_shard(const struct manifest *m, const char *file)
{
    for (int i = 0; i < m->n_shards; i++)
        if (strcmp(m->shards[i].file, file) == 0) return true;
    return false;
}

static status add_older_file(struct plan *plan, const char *name, const char *ending)
{
    TRY(mem_grow(&plan->older, &plan->older_capacity, plan->n_older + 1));
    plan->older[plan->n_older] = NULL;
    return mem_printf(&plan->older[plan->n_older++], "%s/%s%s", plan->to, name, ending);
}

// Shards that an older manifest lists and the new one does not would be taken for ours by index.
static status plan_older(struct plan *plan, const char *path, const struct manifest *m)
{
    struct manifest older;
    if (!file_exists(path)) return OK;
    status st = manifest_read(path, &older);
    if (st != OK) return st == E_NOMEM ? st : OK; // whatever it was, its name is ours now
    for (int i = 0; i < older.n_shards && st == OK; i++) {
        if (has_shard(m, older.shards[i].file)) continue;
        st = add_older_file(plan, older.shards[i].file, "");
        if (st == OK) st = add_older_file(plan, older.shards[i].file, ".idx");
    }
    manifest_fini(&older);
    return st;
}

static status plan_part(struct plan *plan, const char *folder, const struct pack_part *part,
                        const struct manifest *m)
{
    const char *slash = strrchr(part->path, '/');
    const char *name = slash != NULL ? slash + 1 : part->path;
    for (int i = 0; i < m->n_shards; i++) {
        TRY(add_file(plan, folder, m->shards[i].file, ""));
        TRY(add_file(plan, folder, m->shards[i].file, ".idx"));
    }
    TRY(add_file(plan, folder, name, ".pbtxt"));
    TRY(add_pair(&plan->manifests, &plan->n_manifests, &plan->manifests_capacity, folder, plan->to,
                 name, ".json"));
    const struct rename_pair *p = &plan->manifests[plan->n_manifests - 1];
    TRY(manifest_write(m, p->from));
    return plan_older(plan, p->to, m);
}

static void drop(const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT)
        log_warn("cannot remove %s: %s", path, strerror(errno));
}

// Renames all or, where one fails, takes the others away again.
static status rename_all(const struct rename_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (rename(pairs[i].from, pairs[i].to) == 0) continue;
        error_set(__FILE__, __LINE__, "cannot rename %s to %s: %s", pairs[i].from, pairs[i].to,
                  strerror(errno));
        while (i > 0) drop(pairs[--i].to);
        return E_IO;
    }
    return OK;
}

// While files move there is no manifest, so that a crash leaves no mixture that looks whole.
static status carry_out(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_manifests; i++) drop(plan->manifests[i].to);
    TRY(rename_all(plan->files, plan->n_files));
    for (size_t i = 0; i < plan->n_older; i++) drop(plan->older[i]);
    TRY(file_sync_folder(plan->to));
    TRY(rename_all(plan->manifests, plan->n_manifests));
    return file_sync_folder(plan->to);
}

static void free_pairs(struct rename_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mem_free(pairs[i].from);
        mem_free(pairs[i].to);
    }
    mem_free(pairs);
}

status pack_publish(const char *folder, const char *to, const struct pack_part *parts,
                    const struct manifest *manifests, int n)
{
    struct plan plan = {0};
    status st = mem_strdup(to, &plan.to);
    for (int i = 0; i < n && st == OK; i++) st = plan_part(&plan, folder, &parts[i], &manifests[i]);
    if (st == OK) st = carry_out(&plan);
    for (size_t i = 0; i < plan.n_older; i++) mem_free(plan.older[i]);
    mem_free(plan.older);
    free_pairs(plan.manifests, plan.n_manifests);
    free_pairs(plan.files, plan.n_files);
    mem_free(plan.to);
    return st;
}
