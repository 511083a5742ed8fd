"""Completion for fish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.cli.completion_words import PROGRAM, SCHEMES, below, kind_of

if TYPE_CHECKING:
    from enforcer.cli.completion_words import Entry

_FRAME = """\
# Completion of enforcer for fish: enforcer completion fish | source
function __enforcer_expects  # WORDS…: the command line so far is these words, options aside
    set -l found (commandline -opc)[2..-1]
    test "$(string match -v -- '-*' $found)" = "$argv"
end

function __enforcer_at  # WORDS…: the command line so far begins with these words
    set -l found (commandline -opc)[2..-1]
    test "$found[1..$(count $argv)]" = "$argv"
end

function __enforcer_images
    printf '%s\\n' {schemes}
    set -l scheme (commandline -ct | string match -r '^[^:]*:')
    test -n "$scheme"; and printf '%s\\n' $scheme(__fish_complete_path (commandline -ct | string replace -- $scheme ''))
end

complete -c {program} -f
complete -c {program} -n __enforcer_expects -l version -d 'name this version'
complete -c {program} -n __enforcer_expects -l debug -d 'show where an error arose'
complete -c {program} -l help -d 'show help'
{lines}
"""


def script(entries: tuple[Entry, ...]) -> str:
    """Return the script."""
    lines = []
    for entry in entries:
        above = " ".join(("__enforcer_expects", *entry.words[:-1]))
        lines.append(f"complete -c {PROGRAM} -n {_quoted(above)} -a {entry.words[-1]} -d {_quoted(entry.about)}")
    for entry in entries:
        if not below(entries, entry.words):
            lines += _command(entry)
    return _FRAME.format(program=PROGRAM, schemes=" ".join(SCHEMES), lines="\n".join(lines))


def _command(entry: Entry) -> list[str]:
    at = _quoted(" ".join(("__enforcer_at", *entry.words)))
    lines = [f"complete -c {PROGRAM} -n {at} {_action(entry.kind)}"] if entry.kind else []
    for option in entry.options:
        short = f"-s {option.short} " if option.short else ""
        kind = kind_of(option)
        value = "" if kind == "-" else f"-x {_action(kind)} "
        lines.append(f"complete -c {PROGRAM} -n {at} -l {option.long} {short}{value}-d {_quoted(option.about)}")
    return lines


def _action(kind: str) -> str:
    known = {
        "file": "-a '(__fish_complete_path (commandline -ct))'",
        "profile": f"-a '({PROGRAM} policy list --quiet 2>/dev/null; __fish_complete_path (commandline -ct))'",
        "image": "-a '(__enforcer_images)'",
        "": "",
    }
    return known.get(kind, f"-a {_quoted(kind)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
