// Finds the record files of a data set by their names.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "io/index.h"

// One file of a set of n; sets differ by how their names are built.
struct match {
    int style, ending; // which of the patterns
    long number, n;
    char *name;
};

enum { STYLE_ENDING_FIRST, STYLE_ENDING_LAST, STYLE_SINGLE };

static const char *const endings[] = {".record", ".tfrecord", ".tfrecords", ""};

// "-00003-of-00010"; *p moves behind it.
static bool take_numbers(const char **p, struct match *m)
{
    char *end;
    if ((*p)[0] != '-' || (*p)[1] < '0' || (*p)[1] > '9') return false;
    m->number = strtol(*p + 1, &end, 10);
    if (strncmp(end, "-of-", 4) != 0 || end[4] < '0' || end[4] > '9') return false;
    m->n = strtol(end + 4, &end, 10);
    *p = end;
    return m->n >= 1 && m->n <= 99999 && m->number < m->n;
}

static bool take_text(const char **p, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(*p, text, n) != 0) return false;
    *p += n;
    return true;
}

// rest is the file's name behind NAME.
static bool match_rest(const char *rest, struct match *m)
{
    for (m->ending = 0; m->ending < (int)COUNT(endings); m->ending++) {
        const char *ending = endings[m->ending], *p = rest;
        m->style = STYLE_ENDING_FIRST;
        if (ending[0] != '\0' && take_text(&p, ending) && take_numbers(&p, m) && *p == '\0')
            return true;
        p = rest;
        m->style = STYLE_ENDING_LAST;
        if (take_numbers(&p, m) && strcmp(p, ending) == 0) return true;
        m->style = STYLE_SINGLE;
        m->number = 0, m->n = 1;
        if (strcmp(rest, ending) == 0) return true;
    }
    return false;
}

static int compare_numbers(const void *a, const void *b)
{
    long x = ((const struct match *)a)->number, y = ((const struct match *)b)->number;
    return (x > y) - (x < y);
}

struct matches {
    size_t n, capacity;
    struct match *all;
};

static status collect(DIR *folder, const char *name, struct matches *found)
{
    size_t length = strlen(name);
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        struct match m = {0};
        if (e->d_type == DT_DIR || strncmp(e->d_name, name, length) != 0) continue;
        if (!match_rest(e->d_name + length, &m)) continue;
        TRY(mem_grow(&found->all, &found->capacity, found->n + 1));
        TRY(mem_strdup(e->d_name, &m.name));
        found->all[found->n++] = m;
    }
    return OK;
}

// All of one set, and the set whole.
static status check(const char *path, struct matches *found)
{
    REQUIRE(found->n > 0, E_IO,
            "no records %s: looked for %s.record-00000-of-..., %s-00000-of-...tfrecord, "
            "%s.tfrecord and the like",
            path, path, path, path);
    qsort(found->all, found->n, sizeof *found->all, compare_numbers);
    const struct match *first = &found->all[0];
    for (size_t i = 1; i < found->n; i++) {
        const struct match *m = &found->all[i];
        REQUIRE(m->style == first->style && m->ending == first->ending && m->n == first->n,
                E_FORMAT, "%s: %s and %s belong to two sets; move one away", path, first->name,
                m->name);
    }
    for (size_t i = 0; i < found->n; i++)
        REQUIRE(found->all[i].number == (long)i, E_FORMAT, "%s: shard %zu of %ld is missing", path,
                i, first->n);
    REQUIRE((long)found->n == first->n, E_FORMAT, "%s: shard %zu of %ld is missing", path, found->n,
            first->n);
    return OK;
}

static status hand_over(struct matches *found, struct index_files *out)
{
    TRY(mem_alloc(&out->names, found->n));
    out->n = (int)found->n;
    for (size_t i = 0; i < found->n; i++) {
        out->names[i] = found->all[i].name;
        found->all[i].name = NULL;
    }
    return OK;
}

status index_find_files(const char *path, struct index_files *out)
{
    struct matches found = {0};
    char *folder_path = NULL;
    const char *slash = strrchr(path, '/');
    *out = (struct index_files){0};
    TRY(file_folder_of(path, &folder_path));
    DIR *folder = opendir(folder_path);
    status st = OK;
    if (folder == NULL) {
        error_set(__FILE__, __LINE__, "cannot open %s: %s", folder_path, strerror(errno));
        st = E_IO;
    }
    if (st == OK) st = collect(folder, slash != NULL ? slash + 1 : path, &found);
    if (st == OK) st = check(path, &found);
    if (st == OK) st = hand_over(&found, out);
    if (folder != NULL) (void)closedir(folder);
    for (size_t i = 0; i < found.n; i++) mem_free(found.all[i].name);
    mem_free(found.all);
    mem_free(folder_path);
    return st;
}

void index_files_fini(struct index_files *files)
{
    for (int i = 0; i < files->n; i++) mem_free(files->names[i]);
    mem_free(files->names);
    *files = (struct index_files){0};
}
