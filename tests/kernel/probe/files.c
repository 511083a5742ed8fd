/* Group f: what of the host's files and sockets is there, and where the root can be written. */
#include "steps.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void step_host_paths(const struct attempt *attempt) {
    (void)attempt;
    if (settings.host_paths.count == 0) unsure("no --host-path given");
    for (int at = 0; at < settings.host_paths.count; at++) {
        if (access(settings.host_paths.items[at], F_OK) == 0) reached("%s is visible", settings.host_paths.items[at]);
    }
    refused("none of %d paths is visible", settings.host_paths.count);
}

static void step_host_path_writes(const struct attempt *attempt) {
    (void)attempt;
    if (settings.host_paths.count == 0) unsure("no --host-path given");
    for (int at = 0; at < settings.host_paths.count; at++) {
        if (access(settings.host_paths.items[at], W_OK) == 0) reached("%s can be written", settings.host_paths.items[at]);
    }
    refused("none of %d paths can be written", settings.host_paths.count);
}

static void step_mapped_ids(const struct attempt *attempt) {
    struct stat stat;
    if (lstat(attempt->path, &stat)) refused("lstat");
    if (stat.st_uid == 65534) {
        errno = EOVERFLOW;
        refused("owner is not mapped");
    }
    if (access(attempt->path, W_OK) == 0) reached("owner %u, can be written", stat.st_uid);
    refused("owner %u", stat.st_uid);
}

static void step_truncate(const struct attempt *attempt) {
    struct stat stat;
    if (lstat(attempt->path, &stat)) refused("lstat");
    judge(truncate(attempt->path, stat.st_size), "truncate to its own size");
}

static void step_chmod_same(const struct attempt *attempt) {
    struct stat stat;
    if (lstat(attempt->path, &stat)) refused("lstat");
    judge(chmod(attempt->path, stat.st_mode & 07777), "chmod to its own mode");
}

static void step_utime(const struct attempt *attempt) {
    struct stat stat;
    if (lstat(attempt->path, &stat)) refused("lstat");
    struct timespec times[2] = {stat.st_atim, stat.st_mtim};
    judge(utimensat(AT_FDCWD, attempt->path, times, 0), "utimensat to its own times");
}

#define SEE(name, path) {"f.see_" name, 0, step_visible, path, 0, 0}
#define SEE_LOOSE(name, path) {"f.see_" name, LOOSE, step_visible, path, 0, 0}
#define SOCK(name, path) {"f.sock_" name, OUTSIDE, step_connects, path, 0, 0}
#define CREATE(name, path) {"f.create_" name, 0, step_creatable, path, 0, 0}
#define CREATE_LOOSE(name, path) {"f.create_" name, LOOSE, step_creatable, path, 0, 0}
#define WRITE(name, path) {"f.write_" name, 0, step_writable, path, 0, 0}

const struct attempt file_attempts[] = {
    {"f.host_path_seen", 0, step_host_paths, NULL, 0, 0},
    {"f.host_path_written", 0, step_host_path_writes, NULL, 0, 0},
    SEE("home", "/home"),
    SEE("ssh", "/root/.ssh"),
    SEE("aws", "/root/.aws"),
    SEE("kube", "/root/.kube"),
    SEE("docker_config", "/root/.docker"),
    SEE("gnupg", "/root/.gnupg"),
    SEE("netrc", "/root/.netrc"),
    SEE("history", "/root/.bash_history"),
    SEE("config", "/root/.config"),
    SEE("etc_ssh", "/etc/ssh"),
    SEE("etc_kubernetes", "/etc/kubernetes"),
    SEE("sudoers", "/etc/sudoers.d"),
    SEE("srv", "/srv"),
    SEE("boot", "/boot"),
    SEE("modules", "/lib/modules"),
    SEE("kernel_source", "/usr/src/linux"),
    SEE("lib_docker", "/var/lib/docker"),
    SEE("lib_containerd", "/var/lib/containerd"),
    SEE("lib_kubelet", "/var/lib/kubelet"),
    SEE("lib_containers", "/var/lib/containers"),
    SEE("lib_enforcer", "/var/lib/enforcer"),
    SEE("lib_cloud", "/var/lib/cloud"),
    SEE("run_systemd", "/run/systemd"),
    SEE("run_user", "/run/user"),
    SEE("run_udev", "/run/udev"),
    SEE("run_secrets", "/run/secrets"),
    SEE("run_credentials", "/run/credentials"),
    SEE("run_docker", "/run/docker"),
    SEE("run_enforcer", "/run/enforcer"),
    SEE("cron", "/var/spool/cron"),
    SEE("mail", "/var/mail"),
    SEE("media", "/media"),
    SEE("mnt", "/mnt"),
    SEE("lost_found", "/lost+found"),
    SEE("oldroot", "/.oldroot"),
    SEE("put_old", "/oldroot"),
    SEE_LOOSE("shadow", "/etc/shadow"),
    SEE_LOOSE("var_log", "/var/log"),
    SEE_LOOSE("opt", "/opt"),
    SOCK("docker", "/var/run/docker.sock"),
    SOCK("docker_run", "/run/docker.sock"),
    SOCK("containerd", "/run/containerd/containerd.sock"),
    SOCK("podman", "/run/podman/podman.sock"),
    SOCK("crio", "/run/crio/crio.sock"),
    SOCK("buildkit", "/run/buildkit/buildkitd.sock"),
    SOCK("dockershim", "/run/dockershim.sock"),
    SOCK("enforcer", "/run/enforcer/engine.sock"),
    SOCK("dbus", "/run/dbus/system_bus_socket"),
    SOCK("dbus_user", "/run/user/0/bus"),
    SOCK("systemd", "/run/systemd/private"),
    SOCK("systemd_notify", "/run/systemd/notify"),
    SOCK("journal", "/run/systemd/journal/socket"),
    SOCK("dev_log", "/dev/log"),
    SOCK("snapd", "/run/snapd.socket"),
    SOCK("incus", "/var/lib/incus/unix.socket"),
    SOCK("lxd", "/var/lib/lxd/unix.socket"),
    SOCK("libvirt", "/run/libvirt/libvirt-sock"),
    SOCK("nscd", "/run/nscd/socket"),
    SOCK("rpcbind", "/run/rpcbind.sock"),
    SOCK("x11", "/tmp/.X11-unix/X0"),
    SOCK("wayland", "/run/user/0/wayland-0"),
    SOCK("pulse", "/run/user/0/pulse/native"),
    SOCK("gpg_agent", "/run/user/0/gnupg/S.gpg-agent"),
    SOCK("postgres", "/run/postgresql/.s.PGSQL.5432"),
    SOCK("mysql", "/run/mysqld/mysqld.sock"),
    CREATE("root", "/"),
    CREATE("bin", "/bin"),
    CREATE("sbin", "/sbin"),
    CREATE("lib", "/lib"),
    CREATE("etc", "/etc"),
    CREATE("usr", "/usr"),
    CREATE("usr_bin", "/usr/bin"),
    CREATE("usr_local_bin", "/usr/local/bin"),
    CREATE("var", "/var"),
    CREATE("var_lib", "/var/lib"),
    CREATE("home", "/home"),
    CREATE("root_home", "/root"),
    CREATE("opt", "/opt"),
    CREATE("srv", "/srv"),
    CREATE("mnt", "/mnt"),
    CREATE("boot", "/boot"),
    CREATE("cron", "/etc/cron.d"),
    CREATE("profile_d", "/etc/profile.d"),
    CREATE("systemd_units", "/etc/systemd/system"),
    CREATE("dev", "/dev"),
    CREATE("sys", "/sys"),
    CREATE("proc", "/proc"),
    CREATE_LOOSE("tmp", "/tmp"),
    CREATE_LOOSE("var_tmp", "/var/tmp"),
    CREATE_LOOSE("run", "/run"),
    CREATE_LOOSE("dev_shm", "/dev/shm"),
    CREATE_LOOSE("dev_mqueue", "/dev/mqueue"),
    {"f.mkdir_root", 0, step_makes_dir, "/", 0, 0},
    {"f.mkdir_dev", 0, step_makes_dir, "/dev", 0, 0},
    {"f.mkdir_etc", 0, step_makes_dir, "/etc", 0, 0},
    WRITE("passwd", "/etc/passwd"),
    WRITE("shadow", "/etc/shadow"),
    WRITE("hosts", "/etc/hosts"),
    WRITE("resolv_conf", "/etc/resolv.conf"),
    WRITE("ld_so_preload", "/etc/ld.so.preload"),
    WRITE("ld_so_cache", "/etc/ld.so.cache"),
    WRITE("bin_sh", "/bin/sh"),
    WRITE("libc", "/lib/x86_64-linux-gnu/libc.so.6"),
    {"f.truncate_passwd", 0, step_truncate, "/etc/passwd", 0, 0},
    {"f.chmod_passwd", 0, step_chmod_same, "/etc/passwd", 0, 0},
    {"f.chmod_root", 0, step_chmod_same, "/", 0, 0},
    {"f.utime_passwd", 0, step_utime, "/etc/passwd", 0, 0},
    {"f.chmod_dev_null", 0, step_chmod_same, "/dev/null", 0, 0},
    {"f.owner_passwd", 0, step_mapped_ids, "/etc/passwd", 0, 0},
};
const size_t file_attempts_count = COUNT(file_attempts);
