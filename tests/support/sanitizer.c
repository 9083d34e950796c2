// Linked into every program of a sanitizer build; without one it is empty.
#ifdef SHOAL_SANITIZED

// sanitizer/asan_interface.h, lsan_interface.h
const char *__asan_default_options(void);
const char *__lsan_default_options(void);
const char *__lsan_default_suppressions(void);
int dlclose(void *handle); // dlfcn.h

// Memory that is refused is reported by the program, as without a sanitizer.
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}

// Open MPI, PMIx and hwloc keep what they allocate at start, some of it through vasprintf, behind
// which the stack is lost (ours is banned from it); fontconfig keeps its cache.
const char *__lsan_default_suppressions(void)
{
    return "leak:libmpi\nleak:libopen-rte\nleak:libopen-pal\nleak:libpmix\nleak:mca_\n"
           "leak:libhwloc\nleak:vasprintf\nleak:libfontconfig\n";
}

// Plugins stay loaded, so that what they leak is found under their names and not as unknown.
int dlclose(void *handle)
{
    (void)handle;
    return 0;
}

#else
typedef int sanitizer_is_off;
#endif
