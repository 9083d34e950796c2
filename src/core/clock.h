// Time for measuring: monotonic seconds.
#ifndef SHOAL_CORE_CLOCK_H
#define SHOAL_CORE_CLOCK_H

double clock_now_s(void);

#endif
