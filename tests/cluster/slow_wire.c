// slow_wire A B DELAY_MS [LOSS_PERCENT]: an Ethernet wire between the interfaces A and B with a
// delay and a loss in each direction, for kernels without netem. Frames keep their order, and
// travel with their virtio header, so segmentation and checksum offload stay as they are.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    FRAME_BYTES = 70 * 1000, // a segment before the network card would cut it
    QUEUE_BYTES = 64 << 20,  // what is more is lost
    BATCH = 64,              // frames of one direction before the other has its turn
    RETRY_NS = 200 * 1000,   // until a full interface is tried again
    SOCKET_BYTES = 16 << 20, // room for a burst
};

struct frame {
    struct frame *next;
    int64_t due_ns;
    size_t n;
    unsigned char data[];
};

struct direction {
    int in, out;
    struct frame *first, **end;
    size_t n_bytes;
};

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int open_interface(const char *name)
{
    int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), one = 1, room = SOCKET_BYTES;
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(name)};
    struct packet_mreq every = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    if (s < 0 || address.sll_ifindex == 0 ||
        setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0 ||
        setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0 ||
        setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &every, sizeof every) != 0 ||
        bind(s, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)fprintf(stderr, "slow_wire: %s: %s\n", name, strerror(errno));
        exit(1);
    }
    (void)setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    (void)setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    return s;
}

// Sends what is due; returns when the next frame is, INT64_MAX where there is none.
static int64_t deliver(struct direction *d)
{
    int64_t now = now_ns();
    while (d->first != NULL && d->first->due_ns <= now) {
        struct frame *f = d->first;
        if (send(d->out, f->data, f->n, MSG_DONTWAIT) < 0 && (errno == ENOBUFS || errno == EAGAIN))
            return f->due_ns = now + RETRY_NS;
        d->n_bytes -= f->n;
        d->first = f->next;
        if (f->next == NULL) d->end = &d->first;
        free(f);
    }
    return d->first != NULL ? d->first->due_ns : INT64_MAX;
}

static void take(struct direction *d, int64_t delay_ns, double loss)
{
    static unsigned char buffer[FRAME_BYTES];
    for (int i = 0; i < BATCH; i++) {
        ssize_t n = recv(d->in, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n <= 0) return;
        if (drand48() < loss || d->n_bytes > QUEUE_BYTES) continue;
        struct frame *f = malloc(sizeof *f + (size_t)n);
        if (f == NULL) continue;
        *f = (struct frame){.due_ns = now_ns() + delay_ns, .n = (size_t)n};
        memcpy(f->data, buffer, (size_t)n);
        d->n_bytes += f->n;
        *d->end = f;
        d->end = &f->next;
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        (void)fprintf(stderr, "usage: slow_wire A B DELAY_MS [LOSS_PERCENT]\n");
        return 2;
    }
    int a = open_interface(argv[1]), b = open_interface(argv[2]);
    int64_t delay_ns = (int64_t)(strtod(argv[3], NULL) * 1e6);
    double loss = argc > 4 ? strtod(argv[4], NULL) / 100 : 0;
    struct direction d[2] = {{.in = a, .out = b}, {.in = b, .out = a}};
    for (int i = 0; i < 2; i++) d[i].end = &d[i].first;
    for (;;) {
        int64_t next = INT64_MAX;
        for (int i = 0; i < 2; i++) {
            int64_t due = deliver(&d[i]);
            if (due < next) next = due;
        }
        int64_t left = next == INT64_MAX ? 0 : next - now_ns();
        struct timespec wait = {.tv_sec = left > 0 ? left / 1000000000 : 0,
                                .tv_nsec = left > 0 ? left % 1000000000 : 0};
        struct pollfd ready[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
        if (ppoll(ready, 2, next == INT64_MAX ? NULL : &wait, NULL) <= 0) continue;
        for (int i = 0; i < 2; i++)
            if (ready[i].revents & POLLIN) take(&d[i], delay_ns, loss);
    }
}
