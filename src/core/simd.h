// Function multiversioning for hot kernels: the binary carries versions for AVX-512, AVX2 and the
// baseline, and the loader picks. All round alike: contraction is off, and sums keep their order.
#ifndef SHOAL_CORE_SIMD_H
#define SHOAL_CORE_SIMD_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(SHOAL_SANITIZED)
#define SIMD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SIMD_CLONES
#endif

// Inlined even where it costs, so that every version of a SIMD_CLONES function gets its own.
#define ALWAYS_INLINE inline __attribute__((always_inline))

#endif
