/* What every file of the probe shares: an attempt, its outcome, and the caller's settings.
 *
 * An attempt is the first step of an attack and nothing more: it opens for writing and writes nothing, creates and
 * removes, asks for a right and gives it back. It runs in a child of its own; the child ends by reached(), refused(),
 * or unsure(), none of which return. */
#ifndef PROBE_H
#define PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum flag {
    OUTSIDE = 1, /* where it reaches, it touches something the container does not own: never in a control run */
    HEAVY = 2,   /* uses many processes, much memory or much disk before it stops itself */
    REMOTE = 4,  /* sends packets to an address that is not loopback: only with --network */
    LOOSE = 8,   /* a profile may well grant it: not counted as strict */
};

struct attempt {
    const char *name;
    unsigned flags;
    void (*step)(const struct attempt *);
    const char *path; /* the path, address or name that the step works on */
    long a, b;        /* numbers of the step: a flag, a family, a limit */
};

enum { CALLS_MAX = 640, DETAIL_MAX = 1024, LIST_MAX = 32 };

struct outcome {
    enum { SILENT = 0, REACHED, REFUSED, UNSURE } state;
    int error; /* errno, 0 when there is none to tell */
    char detail[DETAIL_MAX];
    bool counted; /* calls[] is part of the answer */
    int calls_count;
    uint16_t calls[CALLS_MAX];
};

struct list {
    int count;
    const char *items[LIST_MAX];
};

/* What the caller knows of the outside, so that an attempt can look for exactly that. */
struct settings {
    bool safe, network, list;
    bool gate; /* a filter of our own can be installed here: found out, not told */
    const char *key, *hostname, *group;
    struct list only, skip, canaries, host_ports, host_paths, host_abstract, host_pids;
};

extern struct settings settings;
extern struct outcome *outcome; /* shared with the parent */
extern pid_t probe_pid;         /* the probe itself, parent of every attempt: a filter may refuse getppid(2) */

_Noreturn void reached(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void refused(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void unsure(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The usual end: reached when the call's answer is not negative, refused by errno otherwise. */
_Noreturn void judge(long answer, const char *what);

/* The directories in which an attempt tries to create something: well-known ones and every mount point. */
int each_directory(const char **directories, int limit);
/* Reads up to size-1 bytes of a small kernel file into text, ended by NUL; -1 with errno. */
long slurp(const char *path, char *text, size_t size);
/* The value of "Name:\t..." in /proc/self/status, in text; NULL when it is not there. */
const char *status_field(const char *name, char *text, size_t size);

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define TABLE(name) \
    extern const struct attempt name[]; \
    extern const size_t name##_count;
TABLE(file_attempts)
TABLE(device_attempts)
TABLE(inode_attempts)
TABLE(proc_attempts)
TABLE(mount_attempts)
TABLE(namespace_attempts)
TABLE(kernel_attempts)
TABLE(socket_attempts)
TABLE(call_attempts)
TABLE(abi_attempts)
TABLE(identity_attempts)
TABLE(process_attempts)
TABLE(ipc_attempts)
TABLE(network_attempts)
TABLE(resource_attempts)

#endif
