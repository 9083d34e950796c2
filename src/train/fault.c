// Reading SHOAL_FAULT and doing what it says.
#include "train/fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void sleep_for(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds};
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    (void)nanosleep(&t, NULL);
}

void fault_strike(int rank, int64_t step)
{
    const char *text = getenv("SHOAL_FAULT");
    char kind[8];
    int who;
    double number;
    if (text == NULL || sscanf(text, "%7[a-z]:%d:%lf", kind, &who, &number) != 3) return;
    if (who != rank) return;
    if (strcmp(kind, "slow") == 0) sleep_for(number);
    if (step != (int64_t)number) return;
    if (strcmp(kind, "stop") == 0) (void)raise(SIGSTOP);
    if (strcmp(kind, "kill") == 0) (void)raise(SIGKILL);
    while (strcmp(kind, "hang") == 0) sleep_for(1);
}
