// A sum over OpenMP's threads: with the argument "race" all of them add to one place, without it
// each to its own, and the sum is taken after the loop's barrier. The first must be reported by the
// thread sanitizer, the second must not.
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { N_THREADS = 4, N_TERMS = 4000 };

int main(int argc, char **argv)
{
    long sums[N_THREADS] = {0}, sum = 0;
    int stride = argc > 1 && strcmp(argv[1], "race") == 0 ? 0 : 1;
    omp_set_dynamic(0);
#pragma omp parallel for num_threads(N_THREADS) schedule(static, 1)
    for (int i = 0; i < N_TERMS; i++) sums[stride * omp_get_thread_num()] += i;
    for (int i = 0; i < N_THREADS; i++) sum += sums[i];
    printf("%ld\n", sum);
    return 0;
}
