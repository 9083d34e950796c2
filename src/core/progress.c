// The live line, shared by whatever job is innermost.
#include "core/progress.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"

static const double redraw_every_s = 0.1, plain_every_s = 10;
static const char wipe[] = "\r\x1b[K"; // to the line's start, erase to its end (ECMA-48)

enum { LINE_BYTES = 512 };

// The terminal is one, and so is its line. The log's own lock is taken before this one, never
// after.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct progress *innermost;
static bool is_live, is_drawn;

static bool wants_live(void)
{
    const char *wish = getenv("SHOAL_PROGRESS"), *terminal = getenv("TERM");
    if (wish != NULL && strcmp(wish, "live") == 0) return true;
    if (wish != NULL && strcmp(wish, "plain") == 0) return false;
    return isatty(STDERR_FILENO) && (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

// Columns of the terminal; 80 where it does not say.
static int columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) return size.ws_col;
    return 80;
}

// "1:02:03" or "2:03".
static void print_duration(char *to, size_t n, double s)
{
    long long whole = (long long)(s + 0.5), hours = whole / 3600;
    int minutes = (int)(whole / 60 % 60), seconds = (int)(whole % 60);
    if (hours > 0)
        (void)snprintf(to, n, "%lld:%02d:%02d", hours, minutes, seconds);
    else
        (void)snprintf(to, n, "%d:%02d", minutes, seconds);
}

// "train: 20 of 99 steps, epoch 1/2, loss 0.51, 3.1/s, 0:25 left"
static void print_line(const struct progress *p, double now_s, char line[LINE_BYTES])
{
    int64_t since = p->done - p->params.done;
    double rate = now_s > p->begun_s ? (double)since / (now_s - p->begun_s) : 0;
    char total[32] = "", left[64] = "", speed[32] = "", duration[40];
    if (p->params.total > 0)
        (void)snprintf(total, sizeof total, " of %lld", (long long)p->params.total);
    if (p->text[0] == '\0' && rate > 0) (void)snprintf(speed, sizeof speed, ", %.3g/s", rate);
    if (rate > 0 && p->params.total > p->done) {
        print_duration(duration, sizeof duration, (double)(p->params.total - p->done) / rate);
        (void)snprintf(left, sizeof left, ", %s left", duration);
    }
    (void)snprintf(line, LINE_BYTES, "%s: %lld%s %s%s%s%s%s", p->params.what, (long long)p->done,
                   total, p->params.unit, p->text[0] != '\0' ? ", " : "", p->text, speed, left);
}

static void wipe_line(void)
{
    if (is_drawn) (void)fputs(wipe, stderr);
    is_drawn = false;
}

static void draw_line(void)
{
    char line[LINE_BYTES];
    if (innermost == NULL || !is_live) return;
    print_line(innermost, clock_now_s(), line);
    // One column stays free: a full line would wrap, and a wrapped line cannot be wiped.
    (void)fprintf(stderr, "%s%.*s", wipe, columns() - 1, line);
    (void)fflush(stderr);
    is_drawn = true;
}

static void before_log_line(void)
{
    (void)pthread_mutex_lock(&lock);
    wipe_line();
}

static void after_log_line(void)
{
    draw_line();
    (void)pthread_mutex_unlock(&lock);
}

void progress_begin(struct progress *p, const struct progress_params *params)
{
    double now_s = clock_now_s();
    *p = (struct progress){
        .params = *params, .done = params->done, .begun_s = now_s, .shown_s = now_s};
    if (p->params.every_s <= 0) p->params.every_s = plain_every_s;
    log_set_hooks(before_log_line, after_log_line);
    (void)pthread_mutex_lock(&lock);
    is_live = wants_live() && log_enabled(LOG_LEVEL_INFO);
    p->outer = innermost;
    innermost = p;
    draw_line();
    (void)pthread_mutex_unlock(&lock);
}

// Draws, or writes a plain line, where it is time; called with the lock, returns without it.
static void show(struct progress *p)
{
    char line[LINE_BYTES];
    double now_s = clock_now_s();
    bool is_due =
        p == innermost && now_s - p->shown_s >= (is_live ? redraw_every_s : p->params.every_s);
    bool is_plain = is_due && !is_live;
    if (is_due) p->shown_s = now_s;
    if (is_due && is_live) draw_line();
    if (is_plain) print_line(p, now_s, line);
    (void)pthread_mutex_unlock(&lock);
    if (is_plain) log_info("%s", line); // takes the log's lock, then ours
}

void progress_update(struct progress *p, int64_t done, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)pthread_mutex_lock(&lock);
    p->done = done;
    (void)vsnprintf(p->text, sizeof p->text, format, args);
    show(p);
    va_end(args);
}

void progress_add(struct progress *p, int64_t n)
{
    (void)pthread_mutex_lock(&lock);
    p->done += n;
    show(p);
}

void progress_end(struct progress *p)
{
    (void)pthread_mutex_lock(&lock);
    ASSERT(innermost == p);
    innermost = p->outer;
    wipe_line();
    draw_line();
    (void)fflush(stderr);
    (void)pthread_mutex_unlock(&lock);
}
