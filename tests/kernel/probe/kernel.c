/* Group k, first part: rights and interfaces of the kernel, each asked for in a way that does nothing when granted. */
#include "gate.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_alg.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/tiocl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void step_unshare(const struct attempt *attempt) { judge(unshare((int)attempt->a), "unshare"); }

static _Noreturn void judge_clone(long answer, const char *what) {
    if (answer == 0) _exit(0);
    if (answer > 0) waitpid((pid_t)answer, NULL, __WALL);
    judge(answer, what);
}

static void step_clone(const struct attempt *attempt) {
    judge_clone(syscall(SYS_clone, attempt->a | SIGCHLD, NULL, NULL, NULL, NULL), "clone");
}

static void step_clone3(const struct attempt *attempt) {
    struct clone_args arguments = {.flags = (uint64_t)attempt->a, .exit_signal = SIGCHLD};
    judge_clone(syscall(SYS_clone3, &arguments, sizeof arguments), "clone3");
}

static void step_setns(const struct attempt *attempt) {
    int fd = open(attempt->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) refused("open %s", attempt->path);
    judge(setns(fd, (int)attempt->a), "setns");
}

static void step_setns_pidfd(const struct attempt *attempt) {
    int fd = (int)syscall(SYS_pidfd_open, getppid(), 0);
    if (fd < 0) refused("pidfd_open");
    judge(setns(fd, (int)attempt->a), "setns by pidfd");
}

/* With a user namespace of one's own everything else becomes possible: the classic chain, two steps of it. */
static void step_user_chain(const struct attempt *attempt) {
    if (unshare(CLONE_NEWUSER)) refused("unshare CLONE_NEWUSER");
    judge(unshare((int)attempt->a), "a namespace inside the new user namespace");
}

static void step_gate(const struct attempt *attempt) {
    if (settings.gate && gate_install()) {
        if (!gate_passes(X86_64, attempt->a)) {
            errno = EPERM;
            refused("the filter refuses %s", attempt->path);
        }
        if (!call_is_unsafe(X86_64, attempt->a) && call_invalid(X86_64, attempt->a) == -ENOSYS) {
            errno = ENOSYS;
            refused("nothing answers %s", attempt->path);
        }
        errno = 0;
        reached("the filter lets %s pass", attempt->path);
    }
    if (call_is_unsafe(X86_64, attempt->a)) unsure("no filter of our own, and %s is not called", attempt->path);
    long answer = call_invalid(X86_64, attempt->a);
    errno = answer < 0 ? (int)-answer : 0;
    if (answer == -EPERM || answer == -ENOSYS || answer == -EACCES) refused("%s", attempt->path);
    reached("the kernel answers %s with %ld", attempt->path, answer);
}

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
    pid_t pid = attempt->a ? (pid_t)attempt->a : getppid();
    if (pid == 1 && (getpid() == 1 || getppid() == 1)) unsure("the probe itself is process 1");
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
    if (attempt->a == 1 && (getpid() == 1 || getppid() == 1)) unsure("the probe itself is process 1");
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

static void step_socket(const struct attempt *attempt) {
    int type = (int)(attempt->b & 0xff), protocol = (int)(attempt->b >> 8);
    judge(socket((int)attempt->a, type | SOCK_CLOEXEC, protocol), attempt->path);
}

static void step_alg_bind(const struct attempt *attempt) {
    struct sockaddr_alg address = {.salg_family = AF_ALG};
    int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) refused("socket");
    snprintf((char *)address.salg_type, sizeof address.salg_type, "aead");
    snprintf((char *)address.salg_name, sizeof address.salg_name, "%s", attempt->path);
    judge(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
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

#define NAMESPACE(name, flag) \
    {"k.unshare_" name, 0, step_unshare, NULL, flag, 0}, {"k.clone_" name, 0, step_clone, NULL, flag, 0}, \
    {"k.clone3_" name, 0, step_clone3, NULL, flag, 0}
#define SETNS(name, flag) {"k.setns_" name, 0, step_setns, "/proc/self/ns/" name, flag, 0}
#define GATE(name) {"k.gate_" #name, 0, step_gate, #name, SYS_##name, 0}
#define GATE_NUMBER(name, number) {"k.gate_" #name, 0, step_gate, #name, number, 0}
#define GATE_LOOSE(name) {"k.gate_" #name, LOOSE, step_gate, #name, SYS_##name, 0}
#define GATE_LOOSE_NUMBER(name, number) {"k.gate_" #name, LOOSE, step_gate, #name, number, 0}
#define SOCKET(name, family, type, protocol) {"k.socket_" name, 0, step_socket, #family, family, (type) | (protocol) << 8}

const struct attempt kernel_attempts[] = {
    NAMESPACE("user", CLONE_NEWUSER),
    NAMESPACE("mount", CLONE_NEWNS),
    NAMESPACE("pid", CLONE_NEWPID),
    NAMESPACE("net", CLONE_NEWNET),
    NAMESPACE("ipc", CLONE_NEWIPC),
    NAMESPACE("uts", CLONE_NEWUTS),
    NAMESPACE("cgroup", CLONE_NEWCGROUP),
    {"k.unshare_time", 0, step_unshare, NULL, CLONE_NEWTIME, 0},
    {"k.unshare_files", LOOSE, step_unshare, NULL, CLONE_FILES, 0},
    {"k.user_then_net", 0, step_user_chain, NULL, CLONE_NEWNET, 0},
    {"k.user_then_mount", 0, step_user_chain, NULL, CLONE_NEWNS, 0},
    SETNS("mnt", CLONE_NEWNS),
    SETNS("net", CLONE_NEWNET),
    SETNS("pid", CLONE_NEWPID),
    SETNS("uts", CLONE_NEWUTS),
    SETNS("ipc", CLONE_NEWIPC),
    SETNS("cgroup", CLONE_NEWCGROUP),
    {"k.setns_pidfd", 0, step_setns_pidfd, NULL, CLONE_NEWNET, 0},

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

    SOCKET("alg", AF_ALG, SOCK_SEQPACKET, 0),
    {"k.alg_bind_authencesn", 0, step_alg_bind, "authencesn(hmac(sha256),cbc(aes))", 0, 0},
    SOCKET("packet_raw", AF_PACKET, SOCK_RAW, 0),
    SOCKET("packet_dgram", AF_PACKET, SOCK_DGRAM, 0),
    SOCKET("raw_icmp", AF_INET, SOCK_RAW, 1),
    SOCKET("raw_tcp", AF_INET, SOCK_RAW, 6),
    SOCKET("raw_any", AF_INET, SOCK_RAW, 255),
    SOCKET("raw6_icmp", AF_INET6, SOCK_RAW, 58),
    SOCKET("ping", AF_INET, SOCK_DGRAM, 1),
    SOCKET("sctp", AF_INET, SOCK_STREAM, 132),
    SOCKET("dccp", AF_INET, SOCK_STREAM, 33),
    SOCKET("mptcp", AF_INET, SOCK_STREAM, 262),
    SOCKET("udplite", AF_INET, SOCK_DGRAM, 136),
    SOCKET("netlink_route", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE),
    SOCKET("netlink_usersock", AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK),
    SOCKET("netlink_sock_diag", AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG),
    SOCKET("netlink_nflog", AF_NETLINK, SOCK_RAW, NETLINK_NFLOG),
    SOCKET("netlink_xfrm", AF_NETLINK, SOCK_RAW, NETLINK_XFRM),
    SOCKET("netlink_selinux", AF_NETLINK, SOCK_RAW, NETLINK_SELINUX),
    SOCKET("netlink_iscsi", AF_NETLINK, SOCK_RAW, NETLINK_ISCSI),
    SOCKET("netlink_audit", AF_NETLINK, SOCK_RAW, NETLINK_AUDIT),
    SOCKET("netlink_connector", AF_NETLINK, SOCK_RAW, NETLINK_CONNECTOR),
    SOCKET("netlink_netfilter", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER),
    SOCKET("netlink_uevent", AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT),
    SOCKET("netlink_generic", AF_NETLINK, SOCK_RAW, NETLINK_GENERIC),
    SOCKET("netlink_crypto", AF_NETLINK, SOCK_RAW, NETLINK_CRYPTO),
    SOCKET("vsock", AF_VSOCK, SOCK_STREAM, 0),
    SOCKET("bluetooth", AF_BLUETOOTH, SOCK_RAW, 1),
    SOCKET("xdp", AF_XDP, SOCK_RAW, 0),
    SOCKET("key", AF_KEY, SOCK_RAW, 2),
    SOCKET("rxrpc", AF_RXRPC, SOCK_DGRAM, AF_INET),
    SOCKET("tipc", AF_TIPC, SOCK_RDM, 0),
    SOCKET("can", AF_CAN, SOCK_RAW, 1),
    SOCKET("rds", AF_RDS, SOCK_SEQPACKET, 0),
    SOCKET("kcm", AF_KCM, SOCK_DGRAM, 0),
    SOCKET("smc", AF_SMC, SOCK_STREAM, 0),
    SOCKET("qipcrtr", AF_QIPCRTR, SOCK_DGRAM, 0),
    SOCKET("nfc", AF_NFC, SOCK_RAW, 0),
    SOCKET("phonet", AF_PHONET, SOCK_DGRAM, 0),
    SOCKET("ieee802154", AF_IEEE802154, SOCK_DGRAM, 0),
    SOCKET("pppox", AF_PPPOX, SOCK_STREAM, 0),
    SOCKET("llc", AF_LLC, SOCK_STREAM, 0),
    SOCKET("ax25", AF_AX25, SOCK_DGRAM, 0),
    SOCKET("x25", AF_X25, SOCK_SEQPACKET, 0),
    SOCKET("appletalk", AF_APPLETALK, SOCK_DGRAM, 0),
    SOCKET("ib", AF_IB, SOCK_DGRAM, 0),
    SOCKET("mctp", 45, SOCK_DGRAM, 0),
    {"k.socket_inet_tcp", LOOSE, step_socket, "AF_INET", AF_INET, SOCK_STREAM},
    {"k.socket_inet6_tcp", LOOSE, step_socket, "AF_INET6", AF_INET6, SOCK_STREAM},
    {"k.socket_unix", LOOSE, step_socket, "AF_UNIX", AF_UNIX, SOCK_STREAM},

    GATE(acct), GATE(add_key), GATE(afs_syscall), GATE(bpf), GATE(chroot), GATE(clock_settime), GATE(create_module),
    GATE(delete_module), GATE(epoll_ctl_old), GATE(fanotify_init), GATE(fanotify_mark), GATE(finit_module), GATE(fsconfig),
    GATE(fsmount), GATE(fsopen), GATE(fspick), GATE(get_kernel_syms), GATE(get_mempolicy), GATE(getpmsg), GATE(init_module),
    GATE(io_uring_enter), GATE(io_uring_register), GATE(io_uring_setup), GATE(ioperm), GATE(iopl), GATE(kcmp),
    GATE(kexec_file_load), GATE(kexec_load), GATE(keyctl), GATE(lookup_dcookie), GATE(mbind), GATE(memfd_secret),
    GATE(migrate_pages), GATE(modify_ldt), GATE(mount), GATE(mount_setattr), GATE(move_mount), GATE(move_pages),
    GATE(nfsservctl), GATE(open_by_handle_at), GATE(open_tree), GATE(perf_event_open), GATE(pidfd_getfd), GATE(pivot_root),
    GATE(process_madvise), GATE(process_mrelease), GATE(process_vm_readv), GATE(process_vm_writev), GATE(ptrace), GATE(putpmsg),
    GATE(query_module), GATE(quotactl), GATE(quotactl_fd), GATE(reboot), GATE(request_key), GATE(security),
    GATE(set_mempolicy), GATE(setdomainname), GATE(sethostname), GATE(setns), GATE(settimeofday), GATE(swapoff), GATE(swapon),
    GATE(_sysctl), GATE(sysfs), GATE(syslog), GATE(tuxcall), GATE(umount2), GATE(unshare), GATE(uselib), GATE(userfaultfd),
    GATE(ustat), GATE(vhangup), GATE(vserver),
    GATE_NUMBER(set_mempolicy_home_node, 450), GATE_NUMBER(statmount, 457), GATE_NUMBER(listmount, 458),
    GATE_NUMBER(lsm_get_self_attr, 459), GATE_NUMBER(lsm_set_self_attr, 460), GATE_NUMBER(lsm_list_modules, 461),
    GATE_NUMBER(open_tree_attr, 467), GATE_NUMBER(number_600, 600),
    GATE_LOOSE(adjtimex), GATE_LOOSE(capset), GATE_LOOSE(clock_adjtime), GATE_LOOSE(io_setup),
    GATE_LOOSE(io_submit), GATE_LOOSE(ioprio_set), GATE_LOOSE(mknod), GATE_LOOSE(mknodat), GATE_LOOSE(mlockall),
    GATE_LOOSE(mq_open), GATE_LOOSE(msgget), GATE_LOOSE(name_to_handle_at), GATE_LOOSE(personality), GATE_LOOSE(pidfd_open),
    GATE_LOOSE(remap_file_pages), GATE_LOOSE(sched_setattr), GATE_LOOSE(sched_setscheduler), GATE_LOOSE(seccomp),
    GATE_LOOSE(semget), GATE_LOOSE(setresuid), GATE_LOOSE(setgroups), GATE_LOOSE(shmget), GATE_LOOSE(splice), GATE_LOOSE(tee),
    GATE_LOOSE(vmsplice), GATE_LOOSE_NUMBER(cachestat, 451), GATE_LOOSE_NUMBER(map_shadow_stack, 453),
    GATE_LOOSE_NUMBER(mseal, 462), GATE_LOOSE_NUMBER(setxattrat, 463),
};
const size_t kernel_attempts_count = COUNT(kernel_attempts);
