/* The first thing that happens in a container: a byte goes out through the pipe that the first argument names. Without a
   C library, whose own start asks the processor what it can do: half a millisecond where a virtual machine traps that. */
#include <fcntl.h>
#include <sys/syscall.h>

static long call(long number, long a, long b, long c) {
    long result;
#if defined(__x86_64__)
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    result = x0;
#else
#error "say how this processor calls the kernel"
#endif
    return result;
}

/* `stack` is what the kernel leaves: the number of arguments, then each. */
__attribute__((noreturn, used)) static void begin(long *stack) {
    long end = 2;
    if (stack[0] >= 2) {
        /* openat takes a fourth argument only for files that it makes. */
        long pipe = call(SYS_openat, AT_FDCWD, stack[2], O_WRONLY);
        end = pipe < 0 ? 3 : call(SYS_write, pipe, (long)"1", 1) == 1 ? 0 : 4;
    }
    for (;;) call(SYS_exit_group, end, 0, 0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#else
__asm__(".globl _start\n_start: mov x0, sp\n bl begin\n");
#endif
