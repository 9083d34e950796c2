// The build id is a note (ELF, NT_GNU_BUILD_ID) in the running program's own memory.
#include "core/build.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_BYTES = 6 };

// Notes are padded to four bytes, name and contents each.
static size_t padded(size_t n)
{
    return (n + 3) / 4 * 4;
}

static int find_in_notes(const unsigned char *at, size_t n, char *hex, size_t room)
{
    ElfW(Nhdr) h;
    while (n >= sizeof h) {
        memcpy(&h, at, sizeof h);
        size_t name = padded(h.n_namesz), size = sizeof h + name + padded(h.n_descsz);
        if (size > n) return 0;
        const unsigned char *id = at + sizeof h + name;
        if (h.n_type == NT_GNU_BUILD_ID && h.n_descsz >= SHOWN_BYTES) {
            for (size_t i = 0; i < SHOWN_BYTES && 2 * i + 2 < room; i++)
                (void)snprintf(hex + 2 * i, room - 2 * i, "%02x", id[i]);
            return 1;
        }
        at += size;
        n -= size;
    }
    return 0;
}

// The first object is the program itself.
static int look_at_first(struct dl_phdr_info *info, size_t size, void *hex)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_NOTE) continue;
        const unsigned char *at = (const unsigned char *)info->dlpi_addr + p->p_vaddr;
        if (find_in_notes(at, p->p_memsz, hex, 2 * SHOWN_BYTES + 1)) break;
    }
    return 1;
}

void build_describe(char text[BUILD_TEXT_BYTES])
{
    char hex[2 * SHOWN_BYTES + 1] = "";
    (void)dl_iterate_phdr(look_at_first, hex);
    (void)snprintf(text, BUILD_TEXT_BYTES, "%s%s%s", SHOAL_VERSION,
                   hex[0] != '\0' ? ", build " : "", hex);
}
