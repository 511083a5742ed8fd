"""Says which mechanism refused an attempt, from what the kernel answered and from the plan that was executed.

1. The attempt names its system call and the arguments that a filter can see. When the plan's filter refuses that call with
   those arguments, it was seccomp: a filter is asked before anything else.
2. Otherwise the errno says it, together with what the call was about: ESRCH for a process that is there unconfined is the pid
   namespace, ENOENT for such a file the mount namespace, EROFS the mount that the path lies in, and so on.
   EACCES for a file whose mode and mount permit it, as access(2) says, is Landlock, which access(2) does not ask.
3. A mechanism counts only when the plan says that a clause is enforced by it. What cannot be said is said: "not attributed".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN = "not attributed"
# mechanism → the clause of the plan that stands for it
CLAUSES = {
    "seccomp": "syscalls",
    "capabilities": "capabilities",
    "mount namespace": "filesystem.root",
    "Landlock": "filesystem.paths",
    "network namespace": "network.share",
    "pid namespace": "namespaces.pid",
    "pids cgroup": "resources.pids",
    "memory cgroup": "resources.memory",
}
# What of the caller's is not handed on is no clause of its own. mechanism → (the step that does it, words)
STEPS = {
    "close_range": ("close_range", "every descriptor that was not granted is closed before execve"),
    "environment": ("execvpe", "execve with the variables that the profile names, and no others"),
}
_BY_ANSWER = {
    "ESRCH": "pid namespace",
    "not listed": "pid namespace",
    "ENETUNREACH": "network namespace",
    "ECONNREFUSED": "network namespace",
    "not set": "environment",
    "EBADF": "close_range",
    "SIGSYS": "seccomp",  # nothing else sends it
}
_BY_CALL = {
    ("EAGAIN", "clone"): "pids cgroup",
    ("SIGKILL", "mmap"): "memory cgroup",
}
_COMPARE: dict[str, Callable[[int, int, int], bool]] = {
    "SCMP_CMP_EQ": lambda argument, value, _: argument == value,
    "SCMP_CMP_NE": lambda argument, value, _: argument != value,
    "SCMP_CMP_LT": lambda argument, value, _: argument < value,
    "SCMP_CMP_LE": lambda argument, value, _: argument <= value,
    "SCMP_CMP_GT": lambda argument, value, _: argument > value,
    "SCMP_CMP_GE": lambda argument, value, _: argument >= value,
    "SCMP_CMP_MASKED_EQ": lambda argument, mask, value: argument & mask == value & mask,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What of `enforcer plan --format json` judging needs.

    enforced: clause → what enforces it. steps: names of the calls. filter, mounts: as config.json has them (runtime-spec).
    """

    enforced: dict[str, str]
    steps: frozenset[str]
    filter: dict[str, Any]
    mounts: list[dict[str, Any]]

    @staticmethod
    def read(document: dict[str, Any]) -> Plan:
        """Take it from the JSON document."""
        enforced = {entry["clause"]: entry["by"] for entry in document["clauses"] if entry["verdict"] == "enforced"}
        steps = frozenset(step["call"] for step in document["steps"])
        config = document["config"]
        return Plan(enforced, steps, config["linux"]["seccomp"], config["mounts"])

    def allows(self, call: str, arguments: list[int]) -> bool:
        """Whether the filter lets a call through."""
        entry, _, name = call.rpartition(":")
        if entry:  # "i386:socket" enters by the 32-bit gate
            return {"i386": "SCMP_ARCH_X86"}[entry] in self.filter["architectures"]
        rules = (rule for rule in self.filter["syscalls"] if name in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW")
        return any(all(_holds(condition, arguments) for condition in rule.get("args", ())) for rule in rules)

    def covering(self, path: str) -> dict[str, Any]:
        """The mount that a path lies in; {} for the root."""
        found = [mount for mount in self.mounts if (path + "/").startswith(mount["destination"].rstrip("/") + "/")]
        return max(found, key=lambda mount: len(mount["destination"]), default={})

    def by(self, mechanism: str) -> str:
        """How the plan enforces it; "" when it does not."""
        if mechanism in STEPS:
            step, words = STEPS[mechanism]
            return words if step in self.steps else ""
        return self.enforced.get(CLAUSES.get(mechanism, ""), "")


def _holds(condition: dict[str, Any], arguments: list[int]) -> bool:
    argument = arguments[condition["index"]] % (1 << 64) if condition["index"] < len(arguments) else 0
    return _COMPARE[condition["op"]](argument, condition["value"], condition.get("valueTwo", 0))


def judge(said: dict[str, Any], plan: Plan) -> tuple[str, str]:
    """Name what refused or bounded this attempt, as the payload told it, and how the plan says that it does."""
    mount = plan.covering(said["path"])
    option = _mount_option(said, mount)
    if option:
        return option, f"{mount['destination']}: {', '.join(mount['options'])}"
    found = _mechanism(said, plan)
    by = plan.by(found)
    return (found, by) if by else (UNKNOWN, "")


def _mount_option(said: dict[str, Any], mount: dict[str, Any]) -> str:
    """Name the option of the mount that the path lies in, when it explains the answer."""
    options = mount.get("options", [])
    if said["answer"] == "ENOENT" and said["path"].startswith("/proc/sys/") and "subset=pid" in options:
        return "subset=pid"
    if said["answer"] == "EROFS" and "ro" in options:
        return "read-only mount"
    if said["answer"] == "EACCES" and said["call"] == "execve" and "noexec" in options:
        return "noexec mount"
    if said["answer"] == "ENOSPC" and any(option.startswith("size=") for option in options):
        return "size of the tmpfs"
    return ""


def _mechanism(said: dict[str, Any], plan: Plan) -> str:
    answer, call = said["answer"], said["call"]
    if call and not plan.allows(call, said["args"]):
        return "seccomp"
    if answer == "ENOENT":
        return "pid namespace" if said["path"].startswith("/proc/") else "mount namespace"
    if answer == "EACCES" and said.get("permitted"):
        return "Landlock"
    return _BY_ANSWER.get(answer) or _BY_CALL.get((answer, call), UNKNOWN)
