/* Group k: rights and interfaces of the kernel, each asked for in a way that does nothing when granted. */
#include "probe.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <time.h>

static void step_bpf_map(const struct attempt *attempt) {
    union bpf_attr attr = {.map_type = (uint32_t)attempt->a, .key_size = 4, .value_size = 4, .max_entries = 1};
    judge(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr), "BPF_MAP_CREATE");
}

static void step_bpf_program(const struct attempt *attempt) {
    struct bpf_insn code[] = {{.code = 0xb7, .dst_reg = 0}, {.code = 0x95}}; /* r0 = 0; exit */
    union bpf_attr attr = {.prog_type = (uint32_t)attempt->a, .insn_cnt = 2, .insns = (uintptr_t)code, .license = (uintptr_t) "GPL"};
    judge(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr), "BPF_PROG_LOAD");
}

static void step_bpf_next_id(const struct attempt *attempt) {
    union bpf_attr attr = {.start_id = 0};
    long answer = syscall(SYS_bpf, attempt->a, &attr, sizeof attr);
    if (answer < 0 && errno == ENOENT) reached("no object, but allowed to ask");
    judge(answer, "enumeration of the host's bpf objects");
}

static void step_perf(const struct attempt *attempt) {
    struct perf_event_attr attr = {.type = (uint32_t)attempt->a, .size = sizeof attr, .config = (uint64_t)attempt->b, .disabled = 1};
    attr.exclude_kernel = attempt->path == NULL;
    attr.exclude_hv = 1;
    judge(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), "perf_event_open");
}

static void step_io_uring(const struct attempt *attempt) {
    struct io_uring_params params = {.flags = (uint32_t)attempt->a};
    judge(syscall(SYS_io_uring_setup, 4, &params), "io_uring_setup");
}

static void step_io_uring_register(const struct attempt *attempt) {
    struct io_uring_params params = {0};
    (void)attempt;
    int fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (fd < 0) refused("io_uring_setup");
    judge(syscall(SYS_io_uring_register, fd, IORING_REGISTER_PERSONALITY, NULL, 0), "io_uring_register");
}

static void step_userfaultfd(const struct attempt *attempt) { judge(syscall(SYS_userfaultfd, attempt->a), "userfaultfd"); }

static void step_add_key(const struct attempt *attempt) {
    long key = syscall(SYS_add_key, "user", "probe:temporary", "x", 1, attempt->a);
    int error = errno;
    if (key > 0) syscall(SYS_keyctl, KEYCTL_UNLINK, key, attempt->a);
    errno = error;
    judge(key, "add_key");
}

static void step_keyring_id(const struct attempt *attempt) {
    judge(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, attempt->a, 0), "KEYCTL_GET_KEYRING_ID");
}

static void step_key_of_launcher(const struct attempt *attempt) {
    if (!settings.key) unsure("no --key given");
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, attempt->a, "user", settings.key, 0);
    judge(key, "a key of the launcher");
}

static void step_request_key(const struct attempt *attempt) {
    (void)attempt;
    long key = syscall(SYS_request_key, "user", settings.key ? settings.key : "probe:none", NULL, 0);
    if (key < 0 && (errno == ENOKEY || errno == EACCES)) reached("answered, no such key");
    judge(key, "request_key");
}

static void step_persistent_keyring(const struct attempt *attempt) {
    (void)attempt;
    judge(syscall(SYS_keyctl, KEYCTL_GET_PERSISTENT, -1, KEY_SPEC_PROCESS_KEYRING), "KEYCTL_GET_PERSISTENT");
}

static pid_t sleeping_child(void) {
    pid_t child = fork();
    if (child < 0) unsure("fork");
    while (child == 0) pause();
    return child;
}

static _Noreturn void judge_with(pid_t child, long answer, const char *what) {
    int error = errno;
    kill(child, SIGKILL);
    errno = error;
    judge(answer, what);
}

static void step_ptrace_child(const struct attempt *attempt) {
    pid_t child = sleeping_child();
    judge_with(child, ptrace((enum __ptrace_request)attempt->a, child, NULL, NULL), "ptrace of a child");
}

static void step_ptrace_me(const struct attempt *attempt) {
    (void)attempt;
    judge(ptrace(PTRACE_TRACEME, 0, NULL, NULL), "PTRACE_TRACEME");
}

static void step_ptrace_pid(const struct attempt *attempt) {
    pid_t pid = attempt->a ? (pid_t)attempt->a : probe_pid;
    if (pid == 1 && (getpid() == 1 || probe_pid == 1)) unsure("the probe itself is process 1");
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL)) refused("PTRACE_SEIZE");
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    reached("seized %d", pid);
}

static void step_vm_read(const struct attempt *attempt) {
    static char word[8] = "secret";
    char got[8];
    pid_t child = attempt->a ? 0 : sleeping_child();
    struct iovec local = {got, sizeof got}, remote = {word, sizeof word};
    if (child) judge_with(child, process_vm_readv(child, &local, 1, &remote, 1, 0), "process_vm_readv of a child");
    if (attempt->a == 1 && (getpid() == 1 || probe_pid == 1)) unsure("the probe itself is process 1");
    remote.iov_base = (void *)16; /* never mapped: EFAULT says that the access itself was allowed */
    long answer = process_vm_readv((pid_t)attempt->a, &local, 1, &remote, 1, 0);
    if (answer < 0 && errno == EFAULT) reached("allowed to read process %ld", attempt->a);
    judge(answer, "process_vm_readv");
}

static void step_vm_write(const struct attempt *attempt) {
    static char word[8];
    (void)attempt;
    pid_t child = sleeping_child();
    struct iovec local = {word, sizeof word};
    judge_with(child, process_vm_writev(child, &local, 1, &local, 1, 0), "process_vm_writev of a child");
}

static void step_kcmp(const struct attempt *attempt) {
    pid_t child = sleeping_child();
    judge_with(child, syscall(SYS_kcmp, getpid(), child, attempt->a, 0, 0), "kcmp");
}

static void step_pidfd_getfd(const struct attempt *attempt) {
    (void)attempt;
    pid_t child = sleeping_child();
    int fd = (int)syscall(SYS_pidfd_open, child, 0);
    judge_with(child, fd < 0 ? -1 : syscall(SYS_pidfd_getfd, fd, 1, 0), "pidfd_getfd of a child");
}

/* Calls with plain numbers: the call's number in a, its first argument in b, the others nothing. */
static void step_call(const struct attempt *attempt) {
    judge(syscall((int)attempt->a, attempt->b, 0, 0, 0, 0, 0), attempt->path);
}

/* As above, where an answer other than EPERM, EACCES and ENOSYS says that the right was granted. */
static void step_right(const struct attempt *attempt) {
    long answer = syscall((int)attempt->a, attempt->b, 0, 0, 0, 0, 0);
    if (answer >= 0 || (errno != EPERM && errno != EACCES && errno != ENOSYS)) reached("%s answers", attempt->path);
    refused("%s", attempt->path);
}

static void step_ioperm(const struct attempt *attempt) { judge(syscall(SYS_ioperm, attempt->a, 1, 1), "ioperm"); }

static void step_adjtime(const struct attempt *attempt) {
    struct timex time = {.modes = ADJ_TICK, .tick = 0}; /* a tick that is never valid: EINVAL after the check of rights */
    long answer = syscall((int)attempt->a, attempt->a == SYS_adjtimex ? (long)&time : CLOCK_REALTIME, &time);
    if (answer >= 0 || errno == EINVAL) reached("allowed to set the clock");
    refused("clock");
}

static void step_set_name(const struct attempt *attempt) { /* the name it has: a right, not a change */
    char name[65] = "";
    if (attempt->a == SYS_setdomainname) {
        if (getdomainname(name, sizeof name)) refused("getdomainname");
    } else if (gethostname(name, sizeof name)) {
        refused("gethostname");
    }
    judge(syscall(attempt->a, name, strlen(name)), attempt->path);
}

static void step_chroot(const struct attempt *attempt) { judge(chroot(attempt->path), "chroot"); }

static void step_chroot_escape(const struct attempt *attempt) {
    char path[64];
    (void)attempt;
    int out = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc");
    if (chroot(path)) refused("chroot");
    if (fchdir(out) || chroot(".")) refused("fchdir");
    reached("chroot and back out");
}

static void step_personality(const struct attempt *attempt) { judge(personality((unsigned long)attempt->a), "personality"); }

static void step_modify_ldt(const struct attempt *attempt) {
    unsigned int entry[4] = {0, 0, 0xfffff, 0x51}; /* number 0, a 32-bit data segment */
    judge(syscall(SYS_modify_ldt, attempt->a, entry, sizeof entry), "modify_ldt");
}

static void step_fanotify(const struct attempt *attempt) { judge(fanotify_init((unsigned)attempt->a, O_RDONLY), "fanotify_init"); }

static void step_syslog(const struct attempt *attempt) {
    char text[64];
    judge(syscall(SYS_syslog, attempt->a, text, sizeof text), "syslog");
}

static void step_memfd_secret(const struct attempt *attempt) {
    (void)attempt;
    judge(syscall(SYS_memfd_secret, 0), "memfd_secret");
}

static void step_move_pages(const struct attempt *attempt) {
    static char page[4096] __attribute__((aligned(4096)));
    void *pages[] = {page};
    int status = 0;
    page[0] = 1;
    judge(syscall(SYS_move_pages, attempt->a, 1, pages, NULL, &status, 0), "move_pages");
}

static void step_mbind(const struct attempt *attempt) {
    (void)attempt;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    judge(syscall(SYS_mbind, page, 4096, 0, NULL, 0, 0), "mbind");
}

static void step_prctl(const struct attempt *attempt) { judge(prctl((int)attempt->a, attempt->b, 0, 0, 0), attempt->path); }

static void step_prctl_mm(const struct attempt *attempt) {
    judge(prctl(PR_SET_MM, attempt->a, (unsigned long)sbrk(0), 0, 0), "PR_SET_MM");
}

static void step_seccomp_listener(const struct attempt *attempt) {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {1, &allow};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    judge(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, attempt->a, &filter), "seccomp");
}

static void step_tiocsti(const struct attempt *attempt) {
    /* a byte is never injected: the pointer is bad, so EFAULT says that the request itself was allowed */
    const char *terminal = attempt->path;
    int fd = terminal ? open(terminal, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK) : (int)attempt->b;
    if (fd < 0) refused("open %s", terminal);
    long answer = ioctl(fd, (unsigned long)attempt->a, (void *)-1L);
    if (answer < 0 && errno == EFAULT) reached("the terminal accepts the request");
    judge(answer, "ioctl");
}

static void step_vmsplice(const struct attempt *attempt) {
    int ends[2];
    struct iovec part = {(void *)"x", 1};
    if (pipe(ends)) refused("pipe");
    judge(vmsplice(ends[1], &part, 1, (unsigned)attempt->a), "vmsplice");
}

static void step_exec_stack(const struct attempt *attempt) {
    int protection = PROT_READ | PROT_WRITE | PROT_EXEC;
    void *page = mmap(attempt->a ? NULL : (void *)0, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    judge(page == MAP_FAILED ? -1 : 0, "writable and executable memory");
}

static void step_map_zero(const struct attempt *attempt) {
    (void)attempt;
    void *page = mmap((void *)0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    judge(page == MAP_FAILED ? -1 : 0, "page zero");
}

static void step_ioctl_root(const struct attempt *attempt) {
    char buffer[4096] = "";
    int fd = open(attempt->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) refused("open");
    long answer = ioctl(fd, (unsigned long)attempt->a, buffer);
    if (answer < 0 && errno != EPERM && errno != EACCES && errno != ENOTTY && errno != ENOSYS)
        reached("the file system answers");
    judge(answer, "ioctl");
}

const struct attempt kernel_attempts[] = {
    {"k.bpf_map", 0, step_bpf_map, NULL, BPF_MAP_TYPE_ARRAY, 0},
    {"k.bpf_ringbuf_map", 0, step_bpf_map, NULL, BPF_MAP_TYPE_HASH, 0},
    {"k.bpf_socket_filter", 0, step_bpf_program, NULL, BPF_PROG_TYPE_SOCKET_FILTER, 0},
    {"k.bpf_kprobe", 0, step_bpf_program, NULL, BPF_PROG_TYPE_TRACEPOINT, 0},
    {"k.bpf_cgroup_device", 0, step_bpf_program, NULL, BPF_PROG_TYPE_CGROUP_DEVICE, 0},
    {"k.bpf_list_programs", 0, step_bpf_next_id, NULL, BPF_PROG_GET_NEXT_ID, 0},
    {"k.bpf_list_maps", 0, step_bpf_next_id, NULL, BPF_MAP_GET_NEXT_ID, 0},
    {"k.bpf_list_links", 0, step_bpf_next_id, NULL, BPF_LINK_GET_NEXT_ID, 0},
    {"k.perf_software", 0, step_perf, NULL, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK},
    {"k.perf_hardware", 0, step_perf, NULL, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    {"k.perf_kernel", 0, step_perf, "kernel", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK},
    {"k.perf_tracepoint", 0, step_perf, "kernel", PERF_TYPE_TRACEPOINT, 1},
    {"k.io_uring", 0, step_io_uring, NULL, 0, 0},
    {"k.io_uring_sqpoll", 0, step_io_uring, NULL, IORING_SETUP_SQPOLL, 0},
    {"k.io_uring_register", 0, step_io_uring_register, NULL, 0, 0},
    {"k.userfaultfd", 0, step_userfaultfd, NULL, O_CLOEXEC, 0},
    {"k.userfaultfd_user_mode", 0, step_userfaultfd, NULL, O_CLOEXEC | 1, 0},
    {"k.add_key_session", 0, step_add_key, NULL, KEY_SPEC_SESSION_KEYRING, 0},
    {"k.add_key_process", 0, step_add_key, NULL, KEY_SPEC_PROCESS_KEYRING, 0},
    {"k.add_key_user", OUTSIDE, step_add_key, NULL, KEY_SPEC_USER_KEYRING, 0},
    {"k.keyctl_session", 0, step_keyring_id, NULL, KEY_SPEC_SESSION_KEYRING, 0},
    {"k.keyctl_user", 0, step_keyring_id, NULL, KEY_SPEC_USER_KEYRING, 0},
    {"k.key_of_launcher_session", 0, step_key_of_launcher, NULL, KEY_SPEC_SESSION_KEYRING, 0},
    {"k.key_of_launcher_user", 0, step_key_of_launcher, NULL, KEY_SPEC_USER_KEYRING, 0},
    {"k.request_key", 0, step_request_key, NULL, 0, 0},
    {"k.keyctl_persistent", OUTSIDE, step_persistent_keyring, NULL, 0, 0},

    {"k.ptrace_child_seize", 0, step_ptrace_child, NULL, PTRACE_SEIZE, 0},
    {"k.ptrace_child_attach", 0, step_ptrace_child, NULL, PTRACE_ATTACH, 0},
    {"k.ptrace_traceme", 0, step_ptrace_me, NULL, 0, 0},
    {"k.ptrace_parent", OUTSIDE, step_ptrace_pid, NULL, 0, 0},
    {"k.ptrace_pid1", OUTSIDE, step_ptrace_pid, NULL, 1, 0},
    {"k.vm_read_child", 0, step_vm_read, NULL, 0, 0},
    {"k.vm_read_pid1", OUTSIDE, step_vm_read, NULL, 1, 0},
    {"k.vm_write_child", 0, step_vm_write, NULL, 0, 0},
    {"k.kcmp_child", 0, step_kcmp, NULL, 1, 0},
    {"k.pidfd_getfd_child", 0, step_pidfd_getfd, NULL, 0, 0},

    {"k.iopl", 0, step_call, "iopl", SYS_iopl, 3},
    {"k.ioperm", 0, step_ioperm, NULL, 0x80, 0},
    {"k.modify_ldt_read", 0, step_modify_ldt, NULL, 0, 0},
    {"k.modify_ldt_write", 0, step_modify_ldt, NULL, 1, 0},
    {"k.settimeofday", OUTSIDE, step_call, "settimeofday of nothing", SYS_settimeofday, 0},
    {"k.adjtimex", OUTSIDE, step_adjtime, NULL, SYS_adjtimex, 0},
    {"k.clock_adjtime", OUTSIDE, step_adjtime, NULL, SYS_clock_adjtime, 0},
    {"k.sethostname", OUTSIDE, step_set_name, "sethostname", SYS_sethostname, 0},
    {"k.setdomainname", OUTSIDE, step_set_name, "setdomainname", SYS_setdomainname, 0},
    {"k.reboot", OUTSIDE, step_right, "reboot without its magic", SYS_reboot, 1},
    {"k.init_module", OUTSIDE, step_right, "init_module of nothing", SYS_init_module, 0},
    {"k.finit_module", OUTSIDE, step_right, "finit_module of no file", SYS_finit_module, -1},
    {"k.delete_module", OUTSIDE, step_right, "delete_module of nothing", SYS_delete_module, 0},
    {"k.swapon", OUTSIDE, step_right, "swapon of nothing", SYS_swapon, 0},
    {"k.swapoff", OUTSIDE, step_right, "swapoff of nothing", SYS_swapoff, 0},
    {"k.chroot", 0, step_chroot, "/", 0, 0},
    {"k.chroot_escape", 0, step_chroot_escape, NULL, 0, 0},
    {"k.personality_no_aslr", LOOSE, step_personality, NULL, ADDR_NO_RANDOMIZE, 0},
    {"k.personality_read_exec", 0, step_personality, NULL, READ_IMPLIES_EXEC, 0},
    {"k.personality_mmap_zero", 0, step_personality, NULL, MMAP_PAGE_ZERO, 0},
    {"k.personality_linux32", 0, step_personality, NULL, PER_LINUX32, 0},
    {"k.personality_other", 0, step_personality, NULL, PER_SVR4, 0},
    {"k.fanotify_notif", 0, step_fanotify, NULL, FAN_CLASS_NOTIF, 0},
    {"k.fanotify_fid", 0, step_fanotify, NULL, FAN_CLASS_NOTIF | FAN_REPORT_FID, 0},
    {"k.fanotify_content", 0, step_fanotify, NULL, FAN_CLASS_CONTENT, 0},
    {"k.syslog_size", 0, step_syslog, NULL, 10, 0},
    {"k.syslog_read_all", 0, step_syslog, NULL, 3, 0},
    {"k.memfd_secret", LOOSE, step_memfd_secret, NULL, 0, 0},
    {"k.move_pages_self", 0, step_move_pages, NULL, 0, 0},
    {"k.mbind", LOOSE, step_mbind, NULL, 0, 0},
    {"k.prctl_mm_brk", 0, step_prctl_mm, NULL, PR_SET_MM_BRK, 0},
    {"k.prctl_ptracer_any", LOOSE, step_prctl, "PR_SET_PTRACER", PR_SET_PTRACER, -1},
    {"k.prctl_subreaper", LOOSE, step_prctl, "PR_SET_CHILD_SUBREAPER", PR_SET_CHILD_SUBREAPER, 1},
    {"k.prctl_mce_kill", LOOSE, step_prctl, "PR_MCE_KILL", PR_MCE_KILL, 0},
    {"k.prctl_speculation", LOOSE, step_prctl, "PR_GET_SPECULATION_CTRL", PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS},
    {"k.prctl_keepcaps", 0, step_prctl, "PR_SET_KEEPCAPS", PR_SET_KEEPCAPS, 1},
    {"k.prctl_io_flusher", 0, step_prctl, "PR_SET_IO_FLUSHER", PR_SET_IO_FLUSHER, 1},
    {"k.seccomp_listener", LOOSE, step_seccomp_listener, NULL, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0},
    {"k.seccomp_filter", LOOSE, step_seccomp_listener, NULL, 0, 0},
    {"k.seccomp_spec_allow", 0, step_seccomp_listener, NULL, SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0},
    {"k.tiocsti_stdin", 0, step_tiocsti, NULL, TIOCSTI, 0},
    {"k.tiocsti_tty", 0, step_tiocsti, "/dev/tty", TIOCSTI, 0},
    {"k.tiocsti_console", 0, step_tiocsti, "/dev/console", TIOCSTI, 0},
    {"k.tioclinux_stdin", 0, step_tiocsti, NULL, TIOCLINUX, 0},
    {"k.tioclinux_tty0", 0, step_tiocsti, "/dev/tty0", TIOCLINUX, 0},
    {"k.vmsplice", LOOSE, step_vmsplice, NULL, 0, 0},
    {"k.vmsplice_gift", LOOSE, step_vmsplice, NULL, 8, 0},
    {"k.map_write_exec", LOOSE, step_exec_stack, NULL, 1, 0},
    {"k.map_zero", 0, step_map_zero, NULL, 0, 0},
    {"k.ioctl_fibmap", 0, step_ioctl_root, "/proc/self/exe", 1 /* FIBMAP */, 0},
    {"k.ioctl_fifreeze_gate", OUTSIDE, step_ioctl_root, "/dev/null", 0xc0045877 /* FIFREEZE, on a device that cannot */, 0},
};
const size_t kernel_attempts_count = COUNT(kernel_attempts);
