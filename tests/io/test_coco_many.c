// As many annotations as no data set has.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/coco.h"
#include "support/test.h"

// n annotations dealt out to n_images images, 60 bytes each or so.
static const char *write_many(int n_images, int n)
{
    const char *path = test_path("many.json");
    FILE *f = fopen(path, "w");
    EXPECT(f != NULL);
    if (f == NULL) return path;
    fputs("{\"categories\": [{\"id\": 9, \"name\": \"cat\"}], \"images\": [", f);
    for (int i = 0; i < n_images; i++) fprintf(f, "%s{\"id\": %d}", i > 0 ? ", " : "", i + 1);
    fputs("], \"annotations\": [", f);
    for (int i = 0; i < n; i++)
        fprintf(f, "%s{\"image_id\":%d,\"category_id\":9,\"bbox\":[%d,2,3,4]}", i > 0 ? "," : "",
                i % n_images + 1, i);
    fputs("]}", f);
    EXPECT_EQ(fclose(f), 0);
    return path;
}

// The most memory that this process ever held.
static size_t peak_bytes(void)
{
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    EXPECT(f != NULL);
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0) kib = strtoul(line + 6, NULL, 10);
    if (f != NULL) (void)fclose(f);
    return kib * 1024;
}

// 64 bytes are kept of each, most of the rest are the file and its index.
#ifdef SHOAL_SANITIZED // which keeps for a while what was freed
static const double most_bytes = 600;
#else
static const double most_bytes = 300;
#endif

static void read_many(int n_images, int n)
{
    struct coco *c = NULL;
    const char *path = write_many(n_images, n);
    size_t before = peak_bytes();
    EXPECT_OK(coco_read(path, NULL, &c));
    if (c == NULL) return;
    double each = (double)(peak_bytes() - before) / n;
    printf("  %d annotations: %.0f bytes of memory each\n", n, each);
    EXPECT(each < most_bytes);
    EXPECT_EQ(c->n_annotations, n);
    for (int i = 0; i < n_images; i++) EXPECT_EQ(c->images[i].n, n / n_images);
    const struct annotation *last = &c->annotations[n - 1];
    EXPECT(last->x == n - 1 && last->w == 3 && last->id == n);
    EXPECT_EQ(c->rows[n - 1], n - 1);
    coco_destroy(c);
}

TEST(a_million_boxes_in_one_image_are_read)
{
    read_many(1, 1000000);
}

TEST(ten_million_boxes_in_a_thousand_images_are_read)
{
    read_many(1000, 10000000);
}

TEST_MAIN()
