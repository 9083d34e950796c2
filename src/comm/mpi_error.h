// What MPI says of a call that failed, as a status.
#ifndef SHOAL_COMM_MPI_ERROR_H
#define SHOAL_COMM_MPI_ERROR_H

#include <mpi.h>

#include "core/status.h"

// E_COMM, with MPI's text.
MUST_USE status mpi_error_fail(const char *call, int code);

#define TRY_MPI(call)                                                                              \
    do {                                                                                           \
        int try_mpi_code_ = (call);                                                                \
        if (try_mpi_code_ != MPI_SUCCESS) return mpi_error_fail(#call, try_mpi_code_);             \
    } while (0)

#endif
