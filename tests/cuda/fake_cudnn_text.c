// Plans as text: the double's in place of cuDNN's JSON. A descriptor is "(type variant n", its
// attributes "name n bytes" with their values in hexadecimal, or the descriptors that it holds,
// ")". One that is held twice is written twice: tensors are told by their ids.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/fake_cudnn_internal.h"

struct out {
    char *text;
    int64_t room, n; // n: as far as it would have gone
};

static void put(struct out *o, const char *word)
{
    for (; *word != '\0'; word++, o->n++)
        if (o->n < o->room) o->text[o->n] = *word;
}

static void put_number(struct out *o, int64_t v)
{
    char word[32];
    (void)snprintf(word, sizeof word, " %" PRId64, v);
    put(o, word);
}

static void write_desc(struct out *o, const struct fake_desc *d)
{
    put(o, "(");
    put_number(o, (int64_t)d->type);
    put_number(o, d->variant);
    put_number(o, d->n);
    for (int i = 0; i < d->n; i++) {
        const struct fake_attribute *a = &d->attribute[i];
        put_number(o, (int64_t)a->name);
        put_number(o, a->n);
        put_number(o, a->held ? -1 : (int64_t)a->bytes);
        put(o, " ");
        for (int64_t k = 0; a->held && k < a->n; k++)
            write_desc(o, ((struct fake_desc *const *)(const void *)a->values)[k]);
        for (size_t k = 0; !a->held && k < a->bytes; k++) {
            char word[3];
            (void)snprintf(word, sizeof word, "%02x", (unsigned char)a->values[k]);
            put(o, word);
        }
    }
    put(o, ")");
}

cudnnStatus_t fake_cudnn_write_plan(const struct fake_desc *plan, int64_t room, int64_t *n,
                                    char *text)
{
    struct out o = {.text = text, .room = room};
    write_desc(&o, fake_cudnn_part(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0));
    *n = o.n;
    return CUDNN_STATUS_SUCCESS;
}

struct in {
    const char *at, *end;
    bool wrong;
};

static int64_t take_number(struct in *in)
{
    char *end;
    long long v = in->wrong ? 0 : strtoll(in->at, &end, 10);
    in->wrong = in->wrong || end == in->at || end > in->end;
    if (!in->wrong) in->at = end;
    return v;
}

static void take(struct in *in, char c)
{
    in->wrong = in->wrong || in->at >= in->end || *in->at != c;
    if (!in->wrong) in->at++;
}

static void take_bytes(struct in *in, size_t bytes, char *to)
{
    for (size_t i = 0; i < bytes && !in->wrong; i++, in->at += 2) {
        unsigned v;
        in->wrong = in->end - in->at < 2 || sscanf(in->at, "%2x", &v) != 1;
        if (!in->wrong) to[i] = (char)v;
    }
}

static struct fake_desc *read_desc(struct in *in);

static void read_attribute(struct in *in, struct fake_desc *d)
{
    struct fake_attribute *a = &d->attribute[d->n];
    *a = (struct fake_attribute){.name = (cudnnBackendAttributeName_t)take_number(in)};
    a->n = take_number(in);
    int64_t bytes = take_number(in);
    take(in, ' ');
    in->wrong = in->wrong || a->n < 0 || a->n > 1 << 20 || bytes > 1 << 20;
    if (in->wrong) return;
    a->held = bytes < 0;
    a->bytes = a->held ? (size_t)a->n * sizeof(struct fake_desc *) : (size_t)bytes;
    a->values = calloc(1, a->bytes + 1);
    d->n++;
    if (!a->held) take_bytes(in, a->bytes, a->values);
    for (int64_t k = 0; a->held && k < a->n; k++)
        ((struct fake_desc **)(void *)a->values)[k] = read_desc(in);
}

static struct fake_desc *read_desc(struct in *in)
{
    struct fake_desc *d = calloc(1, sizeof *d);
    d->references = 1;
    d->finalized = true;
    take(in, '(');
    d->type = (cudnnBackendDescriptorType_t)take_number(in);
    d->variant = (int)take_number(in);
    int64_t n = take_number(in);
    in->wrong = in->wrong || n < 0 || n > FAKE_CUDNN_ATTRIBUTES;
    for (int64_t i = 0; i < n && !in->wrong; i++) read_attribute(in, d);
    take(in, ')');
    return d;
}

struct fake_desc *fake_cudnn_read_plan(const char *text, int64_t n)
{
    struct in in = {.at = text, .end = text + n};
    struct fake_desc *config = read_desc(&in);
    if (!in.wrong && in.at == in.end) return config;
    fake_cudnn_release(config);
    return NULL;
}
