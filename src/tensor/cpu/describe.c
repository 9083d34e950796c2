// What the CPU backend's results depend on: threads, processor, oneDNN.
#include <dnnl.h>
#include <stdio.h>
#include <string.h>

#include "tensor/cpu/cpu_internal.h"

static void processor_name(char *to, size_t bytes)
{
    char line[256];
    (void)snprintf(to, bytes, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) != 0 || colon == NULL) continue;
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(to, bytes, "%s", colon + 2);
        break;
    }
    (void)fclose(file);
}

void cpu_describe(const struct stream *s, struct backend_description *out)
{
    const dnnl_version_t *v = dnnl_version();
    *out = (struct backend_description){.threads = cpu_threads(s)};
    processor_name(out->device, sizeof out->device);
    (void)snprintf(out->library, sizeof out->library, "oneDNN %d.%d.%d", v->major, v->minor,
                   v->patch);
}
