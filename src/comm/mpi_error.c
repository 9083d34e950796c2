// MPI's errors in words.
#include "comm/mpi_error.h"

#include <stdio.h>

status mpi_error_fail(const char *call, int code)
{
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
        (void)snprintf(text, sizeof text, "code %d", code);
    FAIL(E_COMM, "%s: %s", call, text);
}
