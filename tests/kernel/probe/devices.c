/* Group f: device nodes that are there, and nodes that can be made. */
#include "steps.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLACES_MAX = 128 };

/* Node creation in every directory there is: a is the type, b the device number. */
static void step_mknod(const struct attempt *attempt) {
    const char *places[PLACES_MAX];
    char path[512];
    int count = each_directory(places, PLACES_MAX);
    int error = ENOENT;
    for (int at = 0; at < count; at++) {
        snprintf(path, sizeof path, "%s/.probe-node-%d", places[at], getpid());
        if (mknod(path, (mode_t)attempt->a | 0600, (dev_t)attempt->b) == 0) {
            unlink(path);
            reached("mknod in %s", places[at]);
        }
        if (errno != EROFS && errno != ENOENT) error = errno;
    }
    errno = error;
    refused("mknod in %d directories", count);
}

/* As above, and then the node must open: a nodev mount or a device program may still stop that. */
static void step_mknod_open(const struct attempt *attempt) {
    const char *places[PLACES_MAX];
    char path[512];
    int count = each_directory(places, PLACES_MAX);
    int error = ENOENT;
    for (int at = 0; at < count; at++) {
        snprintf(path, sizeof path, "%s/.probe-node-%d", places[at], getpid());
        if (mknod(path, (mode_t)attempt->a | 0600, (dev_t)attempt->b)) {
            error = errno == EROFS || errno == ENOENT ? error : errno;
            continue;
        }
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        error = fd < 0 ? errno : 0;
        unlink(path);
        if (fd >= 0 || error == ENXIO) reached("a new node in %s opens", places[at]);
    }
    errno = error;
    refused("open of a new node");
}

#define DEVICE(name, path) {"f.dev_" name, 0, step_device, path, 0, 0}
#define NUMBER(major, minor) ((major) << 8 | (minor)) /* as makedev(3) for small numbers */
#define NODE(name, type, major, minor) \
    {"f.mknod_" name, 0, step_mknod, NULL, type, NUMBER(major, minor)}, \
    {"f.mknod_open_" name, 0, step_mknod_open, NULL, type, NUMBER(major, minor)}

const struct attempt device_attempts[] = {
    DEVICE("mem", "/dev/mem"),
    DEVICE("kmem", "/dev/kmem"),
    DEVICE("port", "/dev/port"),
    DEVICE("kmsg", "/dev/kmsg"),
    DEVICE("sda", "/dev/sda"),
    DEVICE("vda", "/dev/vda"),
    DEVICE("xvda", "/dev/xvda"),
    DEVICE("nvme", "/dev/nvme0n1"),
    DEVICE("loop_control", "/dev/loop-control"),
    DEVICE("loop0", "/dev/loop0"),
    DEVICE("ram0", "/dev/ram0"),
    DEVICE("dm", "/dev/dm-0"),
    DEVICE("mapper", "/dev/mapper/control"),
    DEVICE("fuse", "/dev/fuse"),
    DEVICE("cuse", "/dev/cuse"),
    DEVICE("kvm", "/dev/kvm"),
    DEVICE("tun", "/dev/net/tun"),
    DEVICE("vhost_net", "/dev/vhost-net"),
    DEVICE("vhost_vsock", "/dev/vhost-vsock"),
    DEVICE("vsock", "/dev/vsock"),
    DEVICE("vfio", "/dev/vfio/vfio"),
    DEVICE("dri_card", "/dev/dri/card0"),
    DEVICE("dri_render", "/dev/dri/renderD128"),
    DEVICE("nvidia", "/dev/nvidiactl"),
    DEVICE("input", "/dev/input/event0"),
    DEVICE("mice", "/dev/input/mice"),
    DEVICE("uinput", "/dev/uinput"),
    DEVICE("snd", "/dev/snd/timer"),
    DEVICE("video", "/dev/video0"),
    DEVICE("rtc", "/dev/rtc0"),
    DEVICE("hpet", "/dev/hpet"),
    DEVICE("hwrng", "/dev/hwrng"),
    DEVICE("cpu_msr", "/dev/cpu/0/msr"),
    DEVICE("cpu_dma_latency", "/dev/cpu_dma_latency"),
    DEVICE("sg0", "/dev/sg0"),
    DEVICE("sr0", "/dev/sr0"),
    DEVICE("bsg", "/dev/bsg/0:0:0:0"),
    DEVICE("i2c", "/dev/i2c-0"),
    DEVICE("spi", "/dev/spidev0.0"),
    DEVICE("gpio", "/dev/gpiochip0"),
    DEVICE("mei", "/dev/mei0"),
    DEVICE("tpm", "/dev/tpm0"),
    DEVICE("sev", "/dev/sev"),
    DEVICE("sgx", "/dev/sgx_enclave"),
    DEVICE("autofs", "/dev/autofs"),
    DEVICE("btrfs", "/dev/btrfs-control"),
    DEVICE("userfaultfd", "/dev/userfaultfd"),
    DEVICE("udmabuf", "/dev/udmabuf"),
    DEVICE("dma_heap", "/dev/dma_heap/system"),
    DEVICE("binder", "/dev/binder"),
    DEVICE("snapshot", "/dev/snapshot"),
    DEVICE("ppp", "/dev/ppp"),
    DEVICE("rfkill", "/dev/rfkill"),
    DEVICE("nvram", "/dev/nvram"),
    DEVICE("vga_arbiter", "/dev/vga_arbiter"),
    DEVICE("vcs", "/dev/vcs"),
    DEVICE("vcsa", "/dev/vcsa1"),
    DEVICE("tty0", "/dev/tty0"),
    DEVICE("tty1", "/dev/tty1"),
    DEVICE("ttyS0", "/dev/ttyS0"),
    DEVICE("hvc0", "/dev/hvc0"),
    DEVICE("usb", "/dev/bus/usb/001/001"),
    DEVICE("fb0", "/dev/fb0"),
    {"f.dev_watchdog", 0, step_exists, "/dev/watchdog", 0, 0},
    {"f.dev_watchdog0", 0, step_exists, "/dev/watchdog0", 0, 0},
    NODE("mem", S_IFCHR, 1, 1),
    NODE("kmsg", S_IFCHR, 1, 11),
    NODE("null", S_IFCHR, 1, 3),
    NODE("disk", S_IFBLK, 8, 0),
    NODE("vda", S_IFBLK, 254, 0),
    NODE("loop", S_IFBLK, 7, 0),
    NODE("tty", S_IFCHR, 4, 0),
    NODE("fuse", S_IFCHR, 10, 229),
    NODE("tun", S_IFCHR, 10, 200),
    NODE("kvm", S_IFCHR, 10, 232),
};
const size_t device_attempts_count = COUNT(device_attempts);
