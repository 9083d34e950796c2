// Waiting by polling without keeping a core busy: MPI's own waits poll all the while, and the core
// they poll on is wanted by the backward walk, by the loader and by other ranks. Most waits end
// within the first millisecond, during which others are let in between two polls; from then on the
// thread sleeps between them, the longer the longer it has waited.
#ifndef SHOAL_COMM_BACKOFF_H
#define SHOAL_COMM_BACKOFF_H

struct backoff {
    double begin_s;
};

// Something has come: the next wait begins.
void backoff_reset(struct backoff *b);
// Between two polls that found nothing.
void backoff_wait(const struct backoff *b);

#endif
