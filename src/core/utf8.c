// UTF-8 text from outside.
#include "core/utf8.h"

#include <stdbool.h>
#include <stdint.h>

size_t utf8_length(const char *text, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; // of that many bytes
    const unsigned char *c = (const unsigned char *)text;
    if (c[0] < 0x80) return 1;
    size_t length = c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf8 ? 4 : 0;
    if (length == 0 || length > n) return 0;
    uint32_t value = c[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (c[i] & 0x3fu);
    }
    bool is_surrogate = value >= 0xd800 && value < 0xe000;
    return value < least[length] || value > 0x10ffff || is_surrogate ? 0 : length;
}
