#include "gate.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GATE_MARK 0x5afe6a7eL
enum { X32_BIT = 0x40000000 };

static long enter_64(long number, const long arguments[6]) {
    register long r10 __asm__("r10") = arguments[3];
    register long r8 __asm__("r8") = arguments[4];
    register long r9 __asm__("r9") = arguments[5];
    long answer;
    __asm__ volatile("syscall"
                     : "=a"(answer)
                     : "a"(number), "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return answer;
}

/* The sixth argument of int 0x80 is ebp, which the compiler may use as its frame. */
static long enter_i386(long number, const long arguments[6]) {
    long answer = number;
    register long sixth __asm__("r12") = arguments[5];
    __asm__ volatile(
        "push %%rbp\n\t"
        "mov %%r12, %%rbp\n\t"
        "int $0x80\n\t"
        "pop %%rbp"
        : "+a"(answer)
        : "b"(arguments[0]), "c"(arguments[1]), "d"(arguments[2]), "S"(arguments[3]), "D"(arguments[4]), "r"(sixth)
        : "r8", "r9", "r10", "r11", "memory", "cc");
    return (int)answer;
}

long raw_call(enum abi abi, long number, const long arguments[6]) {
    if (abi == I386) return enter_i386(number, arguments);
    return enter_64(abi == X32 ? number | X32_BIT : number, arguments);
}

bool gate_install(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GATE_MARK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {COUNT(program), program};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0) return true;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

bool gate_passes(enum abi abi, long number) {
    for (long value = -1; value <= 3; value++) {
        const long arguments[6] = {value, value, value, value, value, GATE_MARK};
        if (raw_call(abi, number, arguments) == -ENOSYS) return true;
    }
    return false;
}

long call_invalid(enum abi abi, long number) {
    long fill = -1;
    /* these answer ENOSYS to an operation they don't know, so they get one that they know, on nothing */
    if (abi != I386 && (number == SYS_futex || number == SYS_modify_ldt)) fill = 0;
    if (abi == I386 && (number == 240 || number == 123 || number == 422)) fill = 0;
    const long arguments[6] = {fill, fill, fill, fill, fill, fill};
    return raw_call(abi, number, arguments);
}

static bool among(const short *numbers, size_t count, long number) {
    for (size_t at = 0; at < count; at++)
        if (numbers[at] == number) return true;
    return false;
}

bool call_is_unsafe(enum abi abi, long number) {
    static const short x86_64[] = {SYS_rt_sigreturn, SYS_pause, SYS_clone, SYS_fork, SYS_vfork, SYS_exit, SYS_msgget, SYS_vhangup,
                                   SYS_sync, SYS_exit_group, SYS_munmap, SYS_brk, SYS_setsid, SYS_umask, SYS_personality,
                                   SYS_set_tid_address, SYS_alarm, SYS_reboot, SYS_kexec_load, SYS_acct, SYS_munlockall,
                                   SYS_inotify_init, SYS_close_range, SYS_restart_syscall, SYS_kill, SYS_semget, SYS_shmget,
                                   SYS_setfsuid, SYS_setfsgid, SYS_settimeofday, SYS_swapoff, SYS_iopl, SYS_umount2, SYS_setns,
                                   SYS_unshare, SYS_ioperm, SYS_syslog, SYS_delete_module, 335 /* uretprobe */, 336 /* uprobe */};
    static const short i386[] = {1, 2, 22, 25, 27, 29, 36, 37, 45, 51, 52, 60, 66, 72, 79, 88, 91, 101, 103, 110, 111, 115, 117, 119, 120,
                                 129, 136, 138, 139, 153, 173, 190, 215, 216, 252, 258, 283, 291, 310, 346, 393, 395, 399, 436, 0};
    if (abi == I386) return among(i386, COUNT(i386), number);
    return among(x86_64, COUNT(x86_64), number);
}
