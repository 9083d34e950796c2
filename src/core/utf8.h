// UTF-8 text from outside.
#ifndef SHOAL_CORE_UTF8_H
#define SHOAL_CORE_UTF8_H

#include <stddef.h>

// The bytes (1..4) of the character that text (n >= 1 bytes) begins with; 0 where it begins with
// none (RFC 3629: nothing cut short, longer than it need be, of a surrogate, or beyond U+10FFFF).
size_t utf8_length(const char *text, size_t n);

#endif
