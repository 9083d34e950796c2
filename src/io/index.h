// Makes index, manifest and label map for records that others wrote, and anew for ours.
#ifndef SHOAL_IO_INDEX_H
#define SHOAL_IO_INDEX_H

#include "io/manifest.h"

// The record files of a data set DIR/NAME, in the order of their numbers:
// NAME.record-00000-of-00010, NAME-00000-of-00010.tfrecord, NAME.tfrecord and the like (endings
// .record, .tfrecord, .tfrecords).
struct index_files {
    int n;
    char **names; // without the folder
};
// Errors: E_IO none found; E_FORMAT a number is missing, or there is more than one set.
MUST_USE status index_find_files(const char *path, struct index_files *out);
void index_files_fini(struct index_files *files);

// Reads every record once. Labels: those of labels_path (a .pbtxt) where given; else of the
// manifest that is there and whole; else of NAME.pbtxt; else as the records name them. *out, the
// manifest written, is the caller's. Errors: E_FORMAT names shard, byte and image of a record that
// is bad, holds no JPEG of the size it says, or has a label that the labels lack. Nothing is
// written then.
MUST_USE status index_dataset(const char *path, const char *labels_path, int jobs,
                              struct manifest *out);

#endif
