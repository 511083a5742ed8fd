/* probe: tries the first step of each attack from where it stands, and says on one JSON line each how far it got.
 *
 *   probe [--group G] [--only NAME] [--skip NAME] [--list] [--safe] [--network]
 *         [--canary NAME] [--key NAME] [--hostname NAME] [--host-port N] [--host-path PATH]
 *         [--host-abstract NAME] [--host-pid N]
 *
 * NAME may be a glob. --safe leaves out what would touch anything outside or use much: for a run without any
 * confinement. --network lets attempts send packets to addresses other than loopback: only inside a network
 * namespace made for it. */
#include "gate.h"

#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ALARM_SECONDS = 3, HEAVY_SECONDS = 20, SETTLE_ROUNDS = 50 };

struct settings settings;
struct outcome *outcome;
pid_t probe_pid;

#define ENTRY(name) {name##_attempts, &name##_attempts_count}
static const struct {
    const struct attempt *attempts;
    const size_t *count;
} tables[] = {
    ENTRY(file), ENTRY(device), ENTRY(inode), ENTRY(proc), ENTRY(mount),
    ENTRY(namespace), ENTRY(kernel), ENTRY(socket), ENTRY(call), ENTRY(abi),
    ENTRY(identity), ENTRY(process), ENTRY(ipc), ENTRY(network), ENTRY(resource),
};

static _Noreturn void finish(int state, int error, const char *format, va_list values) {
    outcome->error = error;
    vsnprintf(outcome->detail, sizeof outcome->detail, format, values);
    outcome->state = state;
    _exit(0);
}

#define FINISH(state, error) \
    int kept = error; \
    va_list values; \
    va_start(values, format); \
    finish(state, kept, format, values)

void reached(const char *format, ...) { FINISH(REACHED, 0); }
void refused(const char *format, ...) { FINISH(REFUSED, errno); }
void unsure(const char *format, ...) { FINISH(UNSURE, errno); }

void judge(long answer, const char *what) {
    if (answer >= 0) reached("%s succeeded", what);
    refused("%s", what);
}

static void print_string(const char *text) {
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\') printf("\\%c", *at);
        else if (*at < 0x20 || *at > 0x7e) printf("\\u%04x", *at);
        else putchar(*at);
    }
    putchar('"');
}

static void print_outcome(const struct attempt *attempt) {
    static const char *const words[] = {"null", "true", "false", "null"};
    printf("{\"name\": ");
    print_string(attempt->name);
    printf(", \"group\": \"%c\", \"strict\": %s, \"reached\": %s, \"errno\": ", attempt->name[0],
           attempt->flags & LOOSE ? "false" : "true", words[outcome->state]);
    const char *name = outcome->error ? strerrorname_np(outcome->error) : NULL;
    if (name) print_string(name);
    else printf("null");
    printf(", \"detail\": ");
    print_string(outcome->detail);
    if (outcome->counted) {
        printf(", \"passes\": [");
        for (int at = 0; at < outcome->calls_count; at++) printf("%s%d", at ? ", " : "", outcome->calls[at]);
        printf("]");
    }
    printf("}\n");
    fflush(stdout);
}

static void nap(long nanoseconds) {
    struct timespec time = {0, nanoseconds};
    nanosleep(&time, NULL);
}

/* Calls that this program makes for its own sake; where the filter kills for one, it must do without. */
static bool can_group, can_kill, can_alarm;

static bool try_group(void) { return setpgid(0, 0) == 0; }
static bool try_kill(void) { return kill(getpid(), 0) == 0; }
static bool try_alarm(void) { return alarm(ALARM_SECONDS) == 0; }
static bool try_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0; }

/* Whether a child survives the call and is content with its answer. */
static bool survives(bool (*call)(void)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(call() ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void find_footing(void) {
    can_group = survives(try_group);
    can_kill = survives(try_kill);
    can_alarm = survives(try_alarm);
    settings.gate = survives(gate_install);
    if (survives(try_subreaper)) try_subreaper(); /* what attempts leave behind comes to us, not to process 1 */
}

/* Ends and reaps what the attempt left: a later attempt must not take it for somebody else's process. */
static void settle(pid_t group) {
    if (can_group && can_kill) kill(-group, SIGKILL);
    for (int round = 0; round < SETTLE_ROUNDS; round++) {
        pid_t ended = waitpid(-1, NULL, WNOHANG);
        if (ended < 0) return;
        if (ended == 0) nap(1000000);
    }
}

/* Waits for the child, and ends it when its own alarm did not: a filter may refuse alarm(2) or a call may hang. */
static int await(pid_t child, unsigned seconds) {
    struct timespec start, now;
    int status = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long pause = 100000;; pause = pause < 5000000 ? pause * 2 : pause) {
        pid_t answer = waitpid(child, &status, WNOHANG);
        if (answer == child) break;
        if (answer < 0) return SIGKILL;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - start.tv_sec > (time_t)seconds && can_kill) kill(child, SIGKILL);
        nap(pause);
    }
    settle(child);
    return status;
}

static void describe_death(int status) {
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (outcome->state != SILENT) return;
    if (number == SIGALRM || number == SIGKILL) {
        outcome->state = UNSURE;
        outcome->error = ETIMEDOUT;
        snprintf(outcome->detail, sizeof outcome->detail, "no answer (%s)", strsignal(number));
        return;
    }
    outcome->state = number ? REFUSED : UNSURE;
    if (number == SIGSYS) strcpy(outcome->detail, "refused (SIGSYS)");
    else if (number) snprintf(outcome->detail, sizeof outcome->detail, "killed: %s", strsignal(number));
    else snprintf(outcome->detail, sizeof outcome->detail, "ended with %d without an answer", WEXITSTATUS(status));
}

static pid_t fork_patiently(void) {
    pid_t child = fork();
    for (int again = 0; child < 0 && again < 50; again++) { /* children of a heavy attempt may still be dying */
        nap(20000000);
        child = fork();
    }
    return child;
}

static void run(const struct attempt *attempt) {
    unsigned seconds = attempt->flags & HEAVY ? HEAVY_SECONDS : ALARM_SECONDS;
    memset(outcome, 0, sizeof *outcome);
    fflush(stdout);
    pid_t child = fork_patiently();
    if (child == 0) {
        if (can_group) setpgid(0, 0);
        if (can_alarm) alarm(seconds);
        errno = 0;
        attempt->step(attempt);
        _exit(0);
    }
    if (child < 0) {
        outcome->state = UNSURE;
        outcome->error = errno;
        strcpy(outcome->detail, "no child for the attempt");
    } else {
        describe_death(await(child, seconds));
    }
    print_outcome(attempt);
}

static bool matches(const struct list *patterns, const char *name) {
    for (int at = 0; at < patterns->count; at++)
        if (fnmatch(patterns->items[at], name, 0) == 0) return true;
    return false;
}

static bool wanted(const struct attempt *attempt) {
    if (settings.group && !strchr(settings.group, attempt->name[0])) return false;
    if (settings.only.count && !matches(&settings.only, attempt->name)) return false;
    if (settings.safe && attempt->flags & (OUTSIDE | HEAVY | REMOTE)) return false;
    if (!settings.network && attempt->flags & REMOTE) return false;
    return !matches(&settings.skip, attempt->name);
}

static const struct {
    const char *name;
    struct list *list;
    const char **value;
    bool *flag;
} options[] = {
    {"--group", NULL, &settings.group, NULL},
    {"--only", &settings.only, NULL, NULL},
    {"--skip", &settings.skip, NULL, NULL},
    {"--list", NULL, NULL, &settings.list},
    {"--safe", NULL, NULL, &settings.safe},
    {"--network", NULL, NULL, &settings.network},
    {"--canary", &settings.canaries, NULL, NULL},
    {"--key", NULL, &settings.key, NULL},
    {"--hostname", NULL, &settings.hostname, NULL},
    {"--host-port", &settings.host_ports, NULL, NULL},
    {"--host-path", &settings.host_paths, NULL, NULL},
    {"--host-abstract", &settings.host_abstract, NULL, NULL},
    {"--host-pid", &settings.host_pids, NULL, NULL},
};

static void append(struct list *list, const char *item) {
    if (list->count == LIST_MAX) {
        fprintf(stderr, "probe: more than %d values\n", LIST_MAX);
        exit(2);
    }
    list->items[list->count++] = item;
}

/* Takes one option at arguments[0]; how many words it used, 0 when it is none. */
static int take(char **arguments) {
    for (size_t at = 0; at < COUNT(options); at++) {
        if (strcmp(arguments[0], options[at].name)) continue;
        if (options[at].flag) return *options[at].flag = true, 1;
        if (!arguments[1]) return 0;
        if (options[at].value) *options[at].value = arguments[1];
        else append(options[at].list, arguments[1]);
        return 2;
    }
    return 0;
}

int main(int count, char **arguments) {
    (void)count;
    for (char **at = arguments + 1; *at;) {
        int used = take(at);
        if (used == 0) return fprintf(stderr, "probe: what is %s?\n", *at), 2;
        at += used;
    }
    probe_pid = getpid();
    outcome = mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (outcome == MAP_FAILED) return perror("probe: mmap"), 1;
    if (!settings.list) find_footing();
    for (size_t table = 0; table < COUNT(tables); table++)
        for (size_t at = 0; at < *tables[table].count; at++) {
            const struct attempt *attempt = &tables[table].attempts[at];
            if (!wanted(attempt)) continue;
            if (settings.list) printf("%s\n", attempt->name);
            else run(attempt);
        }
    return 0;
}
