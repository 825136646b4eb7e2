/* The first thing that happens in a container: a byte goes out through the pipe that the first argument names. */
#include <fcntl.h>
#include <unistd.h>

int main(int count, char **words) {
    if (count < 2) return 2;
    int pipe = open(words[1], O_WRONLY);
    if (pipe < 0) return 3;
    return write(pipe, "1", 1) == 1 ? 0 : 4;
}
