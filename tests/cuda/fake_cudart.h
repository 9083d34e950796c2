// What a test asks of the fake CUDA run time itself.
#ifndef SHOAL_TESTS_CUDA_FAKE_CUDART_H
#define SHOAL_TESTS_CUDA_FAKE_CUDART_H

#include <stdbool.h>

// What would cost a GPU's host time.
struct fake_cudart_counts {
    unsigned long allocations, frees; // of device and pinned memory
    unsigned long synchronisations;   // of a stream or the device
    unsigned long waits;              // for events that were recorded since the last mark
    unsigned long graph_launches;
    unsigned long device_allocations;
    unsigned long living; // allocations, streams, events and graphs that have not been given back
};

// Since the program began; waits since the mark.
void fake_cudart_count(struct fake_cudart_counts *out);
// From here on waiting for an event counts only where it is recorded after this.
void fake_cudart_mark(void);
// Fails the n-th device allocation from here on (1: the next), and all after it where all says so;
// 0: none.
void fake_cudart_fail_allocation(unsigned long n, bool all);

#endif
