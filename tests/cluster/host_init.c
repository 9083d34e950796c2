// host_init [COMMAND...]: process 1 of a virtual host. Runs COMMAND and ends with its exit code, or
// waits for ever; meanwhile it reaps every orphan, which no shell does for processes it did not
// start.
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    pid_t command = argc > 1 ? fork() : -1;
    if (command == 0) {
        (void)execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    for (;;) {
        int state;
        pid_t ended = wait(&state);
        if (ended < 0 && errno == ECHILD) (void)usleep(10 * 1000); // none is left: others may come
        if (ended < 0 || ended != command) continue;
        return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    }
}
