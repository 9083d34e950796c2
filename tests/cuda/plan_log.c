// Lines are looked for by the graph's text, which says all that distinguishes the network's graphs.
#include "cuda/plan_log.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"

status plan_log_open(const char *path, const char *cudnn, struct plan_log *out)
{
    char first[64];
    size_t n;
    *out = (struct plan_log){.path = path};
    if (path == NULL) return OK;
    (void)snprintf(first, sizeof first, "# cuDNN %s", cudnn);
    if (!file_exists(path)) TRY(plan_log_add(out, first));
    TRY(file_read(path, &out->text, &n));
    REQUIRE(strncmp(out->text, first, strlen(first)) == 0 && out->text[strlen(first)] == '\n',
            E_FORMAT, "%s does not begin with \"%s\": take another file, or move it away", path,
            first);
    return OK;
}

void plan_log_close(struct plan_log *l)
{
    mem_free(l->text);
    *l = (struct plan_log){0};
}

bool plan_log_find(const struct plan_log *l, const char *graph, char line[PLAN_LOG_LINE_BYTES])
{
    const size_t n = strlen(graph);
    const char *end;
    for (const char *at = l->text; at != NULL && (end = strchr(at, '\n')) != NULL; at = end + 1) {
        const size_t length = (size_t)(end - at);
        if (length < n || length >= PLAN_LOG_LINE_BYTES || strncmp(at, graph, n) != 0) continue;
        if (strncmp(at + n + strspn(at + n, " "), "engine ", 7) != 0) continue;
        memcpy(line, at, length);
        line[length] = '\0';
        return true;
    }
    return false;
}

status plan_log_add(const struct plan_log *l, const char *line)
{
    FILE *file;
    if (l->path == NULL) return OK;
    TRY(file_open(l->path, "a", &file));
    (void)fprintf(file, "%s\n", line);
    return file_close(file, l->path);
}
