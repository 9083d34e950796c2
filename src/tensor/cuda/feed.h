// What comes to the device beside the stream's own work: host memory that is copied by a stream of
// its own, so that the next step's pictures travel while this one computes. Read by C and C++.
#ifndef SHOAL_TENSOR_CUDA_FEED_H
#define SHOAL_TENSOR_CUDA_FEED_H

#include "tensor/cuda/c_headers.h"

#ifdef __cplusplus
extern "C" {
#endif

// Pinned room for bytes, to be filled at once. Waits where all rooms are still on their way.
MUST_USE status feed_begin(struct stream *s, size_t bytes, char **host);
// Copies what feed_begin gave; the stream's work that is queued from here on finds it at *device.
MUST_USE status feed_send(struct stream *s, const char **device);
// The work that reads it has been queued: what lies there may be replaced after that.
MUST_USE status feed_done(struct stream *s);

struct feed;
void feed_destroy(struct feed *f); // may be NULL; the stream's work is done

#ifdef __cplusplus
}
#endif

#endif
