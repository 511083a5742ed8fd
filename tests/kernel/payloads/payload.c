/* payload: a program for the inside of a container. It has no opinion: it makes the calls it is told to make, or says what it
 * sees, and the tests judge.
 *
 *   payload calls [-c] NUMBER [ARG…] [, NUMBER [ARG…]]…   raw system calls; one line each: the result, or -ERRNO
 *           ARG: an integer; @TEXT, a string; %N, N zero bytes; $N, the result of the N-th call; ^HEX, bytes
 *   payload fds                                       numbers of the open descriptors
 *   payload hog MIB                                   touch that much memory, then say so
 *   payload forks N                                   how many of N children that stay could be made
 *   payload spin MILLISECONDS                         processor time used while so much time went by, in milliseconds
 *   payload print FORMAT…                             its arguments, one a line
 *   payload look [r:|l:|w:|c:|x:|s:|t:PATH | ns:LINK]…   everything below, a line each: "name value"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RESULTS_MAX = 64, LINE = 4096, DESCRIPTORS = 256 };

static void print_result(long answer) {
    if (answer >= 0) printf("%ld\n", answer);
    else printf("-%s\n", strerrorname_np(errno) ? strerrorname_np(errno) : "?");
    fflush(stdout);
}

static long bytes_of(const char *hex) {
    char *memory = calloc(1, strlen(hex) / 2 + 1);
    for (size_t at = 0; hex[2 * at] && hex[2 * at + 1]; at++) sscanf(hex + 2 * at, "%2hhx", (unsigned char *)memory + at);
    return (long)memory;
}

static long argument(const char *word, const long *results) {
    switch (word[0]) {
    case '@': return (long)(word + 1);
    case '%': return (long)calloc(1, strtoul(word + 1, NULL, 0));
    case '^': return bytes_of(word + 1);
    case '$': return results[strtoul(word + 1, NULL, 0) % RESULTS_MAX];
    default: return (long)strtoull(word, NULL, 0);
    }
}

static int calls(char **words) {
    long results[RESULTS_MAX] = {0};
    for (int count = 0; *words && count < RESULTS_MAX; count++) {
        long args[7] = {0};
        for (int at = 0; *words && strcmp(*words, ","); words++)
            if (at < 7) args[at++] = argument(*words, results);
        results[count] = syscall(args[0], args[1], args[2], args[3], args[4], args[5], args[6]);
        print_result(results[count]);
        if (*words) words++;
    }
    return 0;
}

static int descriptors(void) {
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        if (fcntl(fd, F_GETFD) >= 0) printf("%d ", fd);
    printf("\n");
    return 0;
}

static long hog(long mib) {
    long size = mib << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -1;
    for (long at = 0; at < size; at += 4096) memory[at] = 1;
    return mib;
}

static int forks(int wanted) {
    int made = 0;
    pid_t children[1024];
    while (made < wanted && made < 1024 && (children[made] = fork()) >= 0) {
        if (children[made] == 0) {
            sleep(20);
            _exit(0);
        }
        made++;
    }
    for (int at = 0; at < made; at++) kill(children[at], SIGKILL);
    for (int at = 0; at < made; at++) waitpid(children[at], NULL, 0);
    return made;
}

static long milliseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int spin(long limit) {
    long end = milliseconds(CLOCK_MONOTONIC) + limit;
    while (milliseconds(CLOCK_MONOTONIC) < end) {}
    printf("%ld\n", milliseconds(CLOCK_PROCESS_CPUTIME_ID));
    return 0;
}

static void say(const char *kind, const char *name, long answer) {
    printf("%s%s ", kind, name);
    print_result(answer);
}

static void look_status(void) {
    char line[LINE];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file)) {
        static const char *const wanted[] = {"Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:", "SigBlk", "SigIgn", "Umask"};
        for (size_t at = 0; at < sizeof wanted / sizeof *wanted; at++)
            if (!strncmp(line, wanted[at], strlen(wanted[at]))) printf("status.%s", line);
    }
    if (file) fclose(file);
}

static void look_process(void) {
    char name[65] = "";
    gethostname(name, 64);
    printf("hostname %s\n", name);
    int signal = 0;
    prctl(PR_GET_PDEATHSIG, &signal);
    printf("pdeathsig %d\n", signal);
    printf("securebits %d\n", prctl(PR_GET_SECUREBITS));
    printf("session %s\n", getsid(0) > 0 ? "inside" : "outside");
    say("", "terminal", open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC));
    say("", "canary-key", syscall(SYS_keyctl, 10 /* KEYCTL_SEARCH */, -3, "user", "enforcer-canary", 0) < 0 ? -1 : 0);
    say("", "ungranted-call", syscall(SYS_bpf, 0, NULL, 0));
    for (int resource = 0; resource < 16; resource++) {
        struct rlimit limit;
        if (!getrlimit(resource, &limit)) printf("limit.%d %ld %ld\n", resource, (long)limit.rlim_cur, (long)limit.rlim_max);
    }
    char directory[LINE];
    printf("cwd %s\n", getcwd(directory, sizeof directory) ? directory : "none");
    struct stat stat;
    for (int fd = 0; fd < 3; fd++)
        if (!fstat(fd, &stat)) printf("stream.%d %o %lx %d\n", fd, stat.st_mode & S_IFMT, (long)stat.st_rdev, (int)stat.st_uid);
    printf("descriptors ");
    descriptors();
}

static void look_mounts(void) {
    char line[LINE];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        char place[1024], flags[256], tail[1024];
        char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %*s %1023s %255s", place, flags) != 2) continue;
        if (sscanf(rest, " - %1023s %*s %*s", tail) != 1) continue;
        char *options = strrchr(rest, ' ');
        printf("mount.%s %s %s %s", place, flags, tail, options + 1);
    }
    if (file) fclose(file);
}

static void look_proc(void) {
    DIR *directory = opendir("/proc");
    int processes = 0;
    bool first = false;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name)) {
            processes++;
            first = first || !strcmp(entry->d_name, "1");
        } else if (entry->d_name[0] != '.') printf("proc.%s there\n", entry->d_name);
    }
    if (directory) closedir(directory);
    printf("processes %d\npid1 %s\n", processes, first ? "seen" : "hidden");
}

static void look_network(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(server, (struct sockaddr *)&address, sizeof address);
    listen(server, 1);
    getsockname(server, (struct sockaddr *)&address, &size);
    say("", "loopback", connect(client, (struct sockaddr *)&address, sizeof address));
    close(client);
    close(server);
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int index = 1; index < 256; index++) {
        struct ifreq request = {.ifr_ifindex = index};
        if (!ioctl(any, SIOCGIFNAME, &request)) printf("interface.%s there\n", request.ifr_name);
    }
    close(any);
}

static int in_child(long (*action)(long), long value) {
    pid_t child = fork();
    int status = 0;
    if (child == 0) _exit(action(value) == value ? 0 : 1);
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static long execute(const char *path) {
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        execl(path, path, "true", NULL);
        _exit(errno);
    }
    waitpid(child, &status, 0);
    errno = WIFSIGNALED(status) ? EINTR : WEXITSTATUS(status);
    return errno ? -1 : 0;
}

static long create(const char *directory) {
    char path[LINE];
    snprintf(path, sizeof path, "%s/.payload", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return -1;
    close(fd);
    unlink(path);
    return 0;
}

static long list(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return -1;
    closedir(directory);
    return 0;
}

static long opens(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return -1;
    char byte;
    long answer = flags == O_RDONLY ? read(fd, &byte, 1) : 0;
    if (answer < 0 && errno == EAGAIN) answer = 0;
    close(fd);
    return answer;
}

static long fill(const char *directory) {
    char path[LINE];
    static char block[1 << 20];
    snprintf(path, sizeof path, "%s/.fill", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    long made = 0;
    while (made < 32 && write(fd, block, sizeof block) == (ssize_t)sizeof block) made++;
    close(fd);
    unlink(path);
    return made;
}

static void look_path(char kind, const char *path) {
    char name[] = {kind, ':', 0};
    struct stat stat;
    switch (kind) {
    case 'r': say(name, path, opens(path, O_RDONLY)); break;
    case 'w': say(name, path, opens(path, O_WRONLY)); break;
    case 'l': say(name, path, list(path)); break;
    case 'c': say(name, path, create(path)); break;
    case 'x': say(name, path, execute(path)); break;
    case 'f': say(name, path, fill(path)); break;
    default:
        if (lstat(path, &stat)) say(name, path, -1);
        else printf("s:%s %o %u %u\n", path, stat.st_mode, stat.st_uid, stat.st_gid);
    }
}

static void look_namespaces(char **words) {
    static const char *const kinds[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"};
    for (size_t at = 0; at < sizeof kinds / sizeof *kinds; at++) {
        char path[64], link[64] = "";
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[at]);
        bool outside = readlink(path, link, sizeof link - 1) < 0;
        for (char **word = words; *word; word++) outside = outside || (!strncmp(*word, "ns:", 3) && !strcmp(*word + 3, link));
        printf("namespace.%s %s\n", kinds[at], outside ? "host's" : "own");
    }
}

static int look(char **words) {
    look_namespaces(words);
    look_status();
    look_process();
    look_mounts();
    look_proc();
    look_network();
    for (char **word = words; *word; word++)
        if ((*word)[0] != 'n' && (*word)[1] == ':') look_path((*word)[0], *word + 2);
    for (char **word = words; *word; word++) {
        if (!strncmp(*word, "forks=", 6)) printf("forks %d\n", forks(atoi(*word + 6)));
        if (!strncmp(*word, "hog=", 4)) printf("memory %d\n", in_child(hog, atoi(*word + 4)));
    }
    printf("end of look\n");
    return 0;
}

int main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(verb, "calls")) return calls(words + 2);
    if (!strcmp(verb, "fds")) return descriptors();
    if (!strcmp(verb, "hog")) return printf("%ld\n", hog(atol(words[2]))), 0;
    if (!strcmp(verb, "forks")) return printf("%d\n", forks(atoi(words[2]))), 0;
    if (!strcmp(verb, "spin")) return spin(atol(words[2]));
    if (!strcmp(verb, "print"))
        for (int at = 2; at < count; at++) puts(words[at]);
    if (!strcmp(verb, "look")) return look(words + 2);
    return 0;
}
