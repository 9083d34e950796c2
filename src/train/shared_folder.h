// Whether the ranks see one folder: the file system of train.out_dir is meant to be shared, since
// after a fault rank zero may come up on another host.
#ifndef SHOAL_TRAIN_SHARED_FOLDER_H
#define SHOAL_TRAIN_SHARED_FOLDER_H

#include "comm/comm.h"

// Rank zero makes a file of a new name in path, which exists there, and every rank looks for it; a
// warning names the ranks and hosts that do not find it. Collective.
MUST_USE status shared_folder_check(struct comm *comm, const char *path);

#endif
