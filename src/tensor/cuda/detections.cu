// From the box head's outputs to detections (tensor/cpu/detections.c says the rules): a thread per
// row for the softmax, a block per image and class, a block per image.
#include "tensor/cuda/pyramid.h"
#include "tensor/cuda/select.h"

struct detections_job {
    pyramid_view p;
    int32_t rows, n_classes, per_image;
    float score_threshold, min_size, nms_limit;
    struct box_weights weights;
    const float *rois, *logits, *deltas;
    const int32_t *image;
    const float (*original)[2];
    int32_t *first_row, *n_rows; // [n_images]
    float *scores;               // (rows, n_classes)
    // Of each image and class: room for room rows, of keys for a power of two.
    int32_t room, keys_per_list;
    uint64_t *keys;
    float (*boxes)[4];
    uint8_t *state;
    int32_t *n;       // [lists]
    uint64_t *merged; // (n_images, merged_per_image)
    int32_t merged_per_image;
    struct detections out;
};

static __global__ void softmax_rows(const __grid_constant__ detections_job j)
{
    for (int64_t r = thread_number(); r < j.rows; r += thread_count()) {
        const float *x = j.logits + r * j.n_classes;
        float *y = j.scores + r * j.n_classes, largest = x[0], sum = 0.0f;
        for (int32_t c = 1; c < j.n_classes; c++) largest = boxes_max(x[c], largest);
        for (int32_t c = 0; c < j.n_classes; c++) {
            y[c] = expf(x[c] - largest);
            sum += y[c];
        }
        for (int32_t c = 0; c < j.n_classes; c++) y[c] /= sum;
    }
}

// An image's rows lie one after the other; those of no image may lie between images.
static __global__ void __launch_bounds__(SELECT_THREADS)
    find_rows(const __grid_constant__ detections_job j)
{
    SHARED(int32_t, shared, 2);
    int32_t image = static_cast<int32_t>(blockIdx.x);
    if (threadIdx.x == 0) {
        shared[0] = j.rows;
        shared[1] = 0;
    }
    __syncthreads();
    for (int32_t r = static_cast<int32_t>(threadIdx.x); r < j.rows; r += SELECT_THREADS) {
        if (j.image[r] != image) continue;
        atomicMin(&shared[0], r);
        atomicAdd(&shared[1], 1);
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    j.first_row[image] = shared[0];
    j.n_rows[image] = shared[1];
}

// A candidate's index: (row - the image's first row) * n_classes + class.
static __device__ void decode(const detections_job &j, int32_t image, uint32_t index, float box[4])
{
    int64_t at = static_cast<int64_t>(j.first_row[image]) * j.n_classes + index;
    boxes_decode(&j.deltas[4 * at], &j.rois[at / j.n_classes * 4], j.weights, box);
    boxes_clip(box, j.p.size[image]);
}

static __global__ void __launch_bounds__(SELECT_THREADS)
    suppress_class(const __grid_constant__ detections_job j)
{
    SHARED(select_room, room, 1);
    int32_t list = static_cast<int32_t>(blockIdx.x);
    int32_t image = list / j.n_classes, label = list % j.n_classes;
    uint64_t *keys = j.keys + static_cast<int64_t>(list) * j.keys_per_list;
    float(*boxes)[4] = j.boxes + static_cast<int64_t>(list) * j.room;
    uint8_t *state = j.state + static_cast<int64_t>(list) * j.room;
    int32_t n_classes = j.n_classes, n_rows = label > 0 ? j.n_rows[image] : 0;
    const float *scores = j.scores + static_cast<int64_t>(j.first_row[image]) * n_classes + label;
    int32_t n = compact(
        room, n_rows, n_rows,
        [&](int32_t i) { return scores[static_cast<int64_t>(i) * n_classes] > j.score_threshold; },
        [&](int32_t i, int32_t place) {
            keys[place] = sort_best_first(scores[static_cast<int64_t>(i) * n_classes],
                                          static_cast<uint32_t>(i * n_classes + label));
        });
    sort_ascending(keys, n);
    float box[4];
    uint64_t key = 0;
    // In place: a chunk's keys are read before any of them is written, places run ahead of nobody.
    n = compact(
        room, n, n,
        [&](int32_t i) {
            key = keys[i];
            decode(j, image, sort_index(key), box);
            return boxes_are_large(box, j.min_size);
        },
        [&](int32_t, int32_t place) {
            keys[place] = key;
            for (int k = 0; k < 4; k++) boxes[place][k] = box[k];
        });
    nms(room, boxes, n, j.nms_limit, j.per_image, state);
    n = compact(
        room, n, n,
        [&](int32_t i) {
            key = keys[i];
            return state[i] != 0;
        },
        [&](int32_t, int32_t place) { keys[place] = key; });
    if (threadIdx.x == 0) j.n[list] = n;
}

static __device__ void write_detection(const detections_job &j, int32_t image, uint64_t key,
                                       int64_t row)
{
    int64_t at = static_cast<int64_t>(j.first_row[image]) * j.n_classes + sort_index(key);
    float *box = &j.out.boxes[4 * row];
    decode(j, image, sort_index(key), box);
    for (int i = 0; i < 4; i++) box[i] *= j.original[image][1 - i % 2] / j.p.size[image][1 - i % 2];
    j.out.scores[row] = j.scores[at];
    j.out.labels[row] = static_cast<int32_t>(at % j.n_classes);
}

static __global__ void __launch_bounds__(SELECT_THREADS)
    merge_classes(const __grid_constant__ detections_job j)
{
    int32_t image = static_cast<int32_t>(blockIdx.x), n = 0;
    uint64_t *merged = j.merged + static_cast<int64_t>(image) * j.merged_per_image;
    for (int32_t c = 0; c < j.n_classes; c++) {
        int64_t list = static_cast<int64_t>(image) * j.n_classes + c;
        for (int32_t i = static_cast<int32_t>(threadIdx.x); i < j.n[list]; i += SELECT_THREADS)
            merged[n + i] = j.keys[list * j.keys_per_list + i];
        n += j.n[list];
    }
    __syncthreads();
    sort_ascending(merged, n);
    if (n > j.per_image) n = j.per_image;
    if (threadIdx.x == 0) j.out.count[image] = n;
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < j.out.capacity; i += SELECT_THREADS) {
        int64_t row = static_cast<int64_t>(image) * j.out.capacity + i;
        if (i < n) {
            write_detection(j, image, merged[i], row);
            continue;
        }
        for (int k = 0; k < 4; k++) j.out.boxes[4 * row + k] = 0.0f;
        j.out.scores[row] = 0.0f;
        j.out.labels[row] = 0;
    }
}

template <class T> static status take(struct stream *s, int64_t n, T **out)
{
    void *at;
    TRY(cuda_scratch(s, static_cast<size_t>(n) * sizeof **out, &at));
    *out = static_cast<T *>(at);
    return OK;
}

static status reserve(struct stream *s, detections_job *j)
{
    int64_t images = j->p.n_images, lists = images * j->n_classes;
    j->room = j->rows > 0 ? j->rows : 1; // an image may have all rows
    j->keys_per_list = sort_room(j->room);
    int32_t most = j->per_image < j->room ? j->per_image : j->room;
    j->merged_per_image = sort_room(static_cast<int64_t>(most) * j->n_classes);
    TRY(take(s, images, &j->first_row));
    TRY(take(s, images, &j->n_rows));
    TRY(take(s, static_cast<int64_t>(j->rows) * j->n_classes, &j->scores));
    TRY(take(s, lists * j->keys_per_list, &j->keys));
    TRY(take(s, lists * j->room, &j->boxes));
    TRY(take(s, lists * j->room, &j->state));
    TRY(take(s, lists, &j->n));
    return take(s, images * j->merged_per_image, &j->merged);
}

extern "C" status cuda_detections(struct stream *s, const struct pyramid *p,
                                  const struct detections_params *q, int32_t rows,
                                  const float *rois, const int32_t *image, const float *logits,
                                  const float *deltas, const float (*original)[2],
                                  struct detections *out)
{
    if (p->n_images == 0) return OK;
    detections_job j = {};
    cuda_scratch_reset(s);
    TRY(pyramid_take(p, "detections", &j.p));
    j.rows = rows;
    j.n_classes = q->n_classes;
    j.per_image = q->per_image;
    j.score_threshold = q->score_threshold;
    j.min_size = q->min_size;
    j.nms_limit = boxes_nms_limit(q->nms_iou);
    for (int k = 0; k < 4; k++) j.weights.w[k] = q->box_weights[k];
    j.rois = rois;
    j.logits = logits;
    j.deltas = deltas;
    j.image = image;
    j.original = original;
    j.out = *out;
    TRY(reserve(s, &j));
    unsigned images = static_cast<unsigned>(p->n_images);
    unsigned lists = images * static_cast<unsigned>(q->n_classes);
    LAUNCH(softmax_rows, blocks_for(rows), THREADS, 0, cuda_native(s), j);
    LAUNCH(find_rows, images, SELECT_THREADS, 0, cuda_native(s), j);
    LAUNCH(suppress_class, lists, SELECT_THREADS, 0, cuda_native(s), j);
    LAUNCH(merge_classes, images, SELECT_THREADS, 0, cuda_native(s), j);
    return LAUNCHED();
}
