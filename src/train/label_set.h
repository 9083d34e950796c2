// What a model's labels mean: categories with label, id and name, from a data set or from a weights
// file's metadata, compared before they are used together.
#ifndef SHOAL_TRAIN_LABEL_SET_H
#define SHOAL_TRAIN_LABEL_SET_H

#include "io/dataset.h"

struct label_set {
    int n; // categories, ascending by label
    struct category *items;
};

MUST_USE status label_set_from_dataset(const struct dataset *d, struct label_set *out);
// text: [{"label": 1, "id": 1, "name": "person"}, ...]; name stands in messages.
MUST_USE status label_set_from_json(const char *text, const char *name, struct label_set *out);
// Labels 1..n with ids alike, named "label 1" and so on.
MUST_USE status label_set_numbered(int32_t n, struct label_set *out);
// The caller's.
MUST_USE status label_set_to_json(const struct label_set *s, char **text);
void label_set_fini(struct label_set *s);
// Outputs of the classifier: largest label + 1.
int label_set_n_outputs(const struct label_set *s);
// NULL where the label is not in use.
const struct category *label_set_find(const struct label_set *s, int32_t label);
// E_ARG naming both sides and the first difference, where labels, ids or names disagree.
MUST_USE status label_set_same(const struct label_set *a, const char *a_name,
                               const struct label_set *b, const char *b_name);

#endif
