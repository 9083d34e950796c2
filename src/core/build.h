// Which build this program is: its version, and the linker's build id, which differs wherever the
// program does.
#ifndef SHOAL_CORE_BUILD_H
#define SHOAL_CORE_BUILD_H

enum { BUILD_TEXT_BYTES = 64 };

// "0.1.0, build 3698efc59d40"; the version alone where the linker left no id.
void build_describe(char text[BUILD_TEXT_BYTES]);

#endif
