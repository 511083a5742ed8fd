/* Group k: calls that a strict default has no need of, asked of the filter one by one. */
#include "gate.h"

#include <sys/syscall.h>

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

#define GATE(name) {"k.gate_" #name, 0, step_gate, #name, SYS_##name, 0}
#define GATE_NUMBER(name, number) {"k.gate_" #name, 0, step_gate, #name, number, 0}
#define GATE_LOOSE(name) {"k.gate_" #name, LOOSE, step_gate, #name, SYS_##name, 0}
#define GATE_LOOSE_NUMBER(name, number) {"k.gate_" #name, LOOSE, step_gate, #name, number, 0}

const struct attempt call_attempts[] = {
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
const size_t call_attempts_count = COUNT(call_attempts);
