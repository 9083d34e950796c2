#include "ref/ref_kernels.h"

void ref_upsample_add(const struct upsample_add_desc *d, const double *lateral, const double *top,
                      double *y)
{
    for (int n = 0; n < d->n; n++) {
        for (int i = 0; i < d->h; i++) {
            for (int j = 0; j < d->w; j++) {
                int from_row = i * d->h_top / d->h, from_column = j * d->w_top / d->w;
                for (int c = 0; c < d->c; c++) {
                    int at = ((n * d->h + i) * d->w + j) * d->c + c;
                    int from = ((n * d->h_top + from_row) * d->w_top + from_column) * d->c + c;
                    y[at] = lateral[at] + top[from];
                }
            }
        }
    }
}
