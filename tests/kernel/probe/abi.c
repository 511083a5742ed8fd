/* Group k, second part: which call numbers pass the filter, through each of the three entries of an x86-64 kernel. */
#include "gate.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MORE_NUMBERS = 480 };

/* One per number, shared with the child that finds it out and may die at it. */
struct tally {
    long next;
    unsigned char passed[CALLS_MAX];
};

/* A filter may hide behind ENOSYS what it refuses (Docker does so for clone3): the real call tells, where it is safe. */
static bool is_answered(enum abi abi, long number) {
    const long none[6] = {0};
    if (abi == X32 && (number >= 512 || call_is_unsafe(abi, number))) return raw_call(X32, SYS_getpid, none) != -ENOSYS;
    return call_is_unsafe(abi, number) || call_invalid(abi, number) != -ENOSYS;
}

static bool answers_like_the_kernel(enum abi abi, long number) {
    if (call_is_unsafe(abi, number) || (abi == X32 && number >= 512)) return false;
    long answer = call_invalid(abi, number);
    return answer != -EPERM && answer != -ENOSYS && answer != -EACCES;
}

static _Noreturn void sweep(struct tally *tally, enum abi abi, long last, bool real) {
    bool gate = !real && gate_install();
    for (; tally->next <= last; tally->next++) {
        long number = tally->next;
        tally->passed[number] = 0;
        if (real) tally->passed[number] = answers_like_the_kernel(abi, number);
        else if (gate) tally->passed[number] = gate_passes(abi, number);
    }
    _exit(0);
}

/* Sweeps on after each death: a number at which the child was killed by the filter is refused. By any other signal, it
 * reached the kernel, or the entry itself is closed (int 0x80 without IA32_EMULATION faults at once). */
static void sweep_all(struct tally *tally, enum abi abi, long last, bool real) {
    for (tally->next = 0; tally->next <= last;) {
        pid_t child = fork();
        if (child < 0) unsure("fork");
        if (child == 0) sweep(tally, abi, last, real);
        int status = 0;
        if (waitpid(child, &status, 0) < 0 || !WIFSIGNALED(status)) break;
        if (WTERMSIG(status) != SIGSYS && real) tally->passed[tally->next] = 0;
        tally->next++;
    }
}

static struct tally *shared_tally(void) {
    void *map = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) unsure("mmap");
    return map;
}

/* Of the numbers that pass, those that nothing answers: ENOSYS by the filter, or a number the kernel does not have. */
static void drop_unanswered(struct tally *tally, enum abi abi, long last) {
    struct tally *answered = shared_tally();
    for (answered->next = 0; answered->next <= last;) {
        pid_t child = fork();
        if (child < 0) return;
        if (child == 0) {
            for (; answered->next <= last; answered->next++) {
                answered->passed[answered->next] = 1; /* a death here is the kernel's answer as well */
                if (tally->passed[answered->next]) answered->passed[answered->next] = is_answered(abi, answered->next);
            }
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (!WIFSIGNALED(status)) break;
        answered->next++;
    }
    for (long number = 0; number <= last; number++) tally->passed[number] &= answered->passed[number];
}

static int list_calls(const struct tally *tally, long last) {
    outcome->counted = true;
    for (long number = 0; number <= last; number++)
        if (tally->passed[number]) outcome->calls[outcome->calls_count++] = (uint16_t)number;
    return outcome->calls_count;
}

/* a is the entry, b the last number. */
static void step_calls(const struct attempt *attempt) {
    struct tally *tally = shared_tally();
    sweep_all(tally, (enum abi)attempt->a, attempt->b, !settings.gate);
    if (settings.gate) drop_unanswered(tally, (enum abi)attempt->a, attempt->b);
    int passed = list_calls(tally, attempt->b);
    const char *how = settings.gate ? "by our own filter" : "by errno";
    if (attempt->a == X86_64) {
        errno = 0;
        unsure("%d of %ld pass, judged %s", passed, attempt->b + 1, how);
    }
    if (passed) reached("%d of %ld pass, judged %s", passed, attempt->b + 1, how);
    errno = EPERM;
    refused("none of %ld passes, judged %s", attempt->b + 1, how);
}

/* A call that is harmless and cannot fail, through the other entries: getpid. */
static void step_entry(const struct attempt *attempt) {
    const long none[6] = {0};
    long answer = raw_call((enum abi)attempt->a, attempt->b, none);
    if (answer < 0) errno = (int)-answer;
    judge(answer < 0 ? -1 : 0, "the entry answers");
}

/* Opens a socket by the multiplexed call that filters of socket(2) forget: family a, on i386 by its own number too. */
static void step_socketcall(const struct attempt *attempt) {
    uint32_t *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (words == MAP_FAILED) unsure("mmap");
    words[0] = (uint32_t)attempt->a;
    words[1] = (uint32_t)attempt->b;
    const long multiplexed[6] = {1, (long)words};
    const long plain[6] = {attempt->a, attempt->b};
    long answer = raw_call(I386, 102, multiplexed);
    if (answer < 0) answer = raw_call(I386, 359, plain);
    errno = answer < 0 ? (int)-answer : 0;
    judge(answer < 0 ? -1 : 0, "socket through int 0x80");
}

static void step_i386_call(const struct attempt *attempt) {
    const long arguments[6] = {attempt->b, 0, 0, 0, 0, 0};
    long answer = raw_call(I386, attempt->a, arguments);
    errno = answer < 0 ? (int)-answer : 0;
    if (answer == -EPERM || answer == -ENOSYS || answer == -EACCES) refused("int 0x80");
    reached("int 0x80 answers %ld", answer);
}

const struct attempt abi_attempts[] = {
    {"k.calls_x86_64", HEAVY, step_calls, NULL, X86_64, 600},
    {"k.calls_i386", HEAVY, step_calls, NULL, I386, MORE_NUMBERS},
    {"k.calls_x32", HEAVY, step_calls, NULL, X32, 560},
    {"k.entry_i386", 0, step_entry, NULL, I386, 20},
    {"k.entry_x32", 0, step_entry, NULL, X32, SYS_getpid},
    {"k.int80_socket_alg", 0, step_socketcall, NULL, 38, 5},
    {"k.int80_socket_packet", 0, step_socketcall, NULL, 17, 3},
    {"k.int80_socket_netlink", 0, step_socketcall, NULL, 16, 3},
    {"k.int80_socket_vsock", 0, step_socketcall, NULL, 40, 1},
    {"k.int80_socket_inet", 0, step_socketcall, NULL, 2, 1},
    {"k.int80_unshare_user", 0, step_i386_call, NULL, 310, 0x10000000},
    {"k.int80_ptrace", 0, step_i386_call, NULL, 26, 0},
    {"k.int80_personality", 0, step_i386_call, NULL, 136, 0xffffffff},
    {"k.int80_io_uring", 0, step_i386_call, NULL, 425, 1},
    {"k.int80_bpf", 0, step_i386_call, NULL, 357, 0},
    {"k.int80_keyctl", 0, step_i386_call, NULL, 288, 0},
    {"k.int80_modify_ldt", 0, step_i386_call, NULL, 123, 0},
    {"k.int80_mount_fsopen", 0, step_i386_call, NULL, 430, 0},
    {"k.int80_userfaultfd", 0, step_i386_call, NULL, 374, 0},
};
const size_t abi_attempts_count = COUNT(abi_attempts);
