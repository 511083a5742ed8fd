"""Completion for zsh, by its own _arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.cli.completion_words import PROGRAM, SCHEMES, below, kind_of

if TYPE_CHECKING:
    from enforcer.cli.completion_words import Entry
    from enforcer.cli.options import Option

_FRAME = """\
#compdef {program}
# Completion of enforcer for zsh: enforcer completion zsh >DIRECTORY/_enforcer, with DIRECTORY in $fpath

_enforcer_profile() {{
    local -a names
    names=(${{(f)"$({program} policy list --quiet 2>/dev/null)"}})
    _alternative 'profiles:profile:compadd -a names' 'files:file:_files'
}}

_enforcer_image() {{
    if compset -P '*:'; then
        _files
    else
        compadd -S '' -- {schemes}
    fi
}}

{functions}
_enforcer "$@"
"""


def script(entries: tuple[Entry, ...]) -> str:
    """Return the script."""
    functions = [_group(entries, ())]
    functions += [_group(entries, entry.words) if below(entries, entry.words) else _leaf(entry) for entry in entries]
    return _FRAME.format(program=PROGRAM, schemes=" ".join(SCHEMES), functions="\n".join(functions))


def _function(words: tuple[str, ...]) -> str:
    return "_".join(["_enforcer", *words])


def _group(entries: tuple[Entry, ...], words: tuple[str, ...]) -> str:
    """A command that has commands."""
    names = [_quoted(f"{entry.words[-1]}:{entry.about}") for entry in below(entries, words)]
    calls = [f"                {entry.words[-1]}) {_function(entry.words)} ;;" for entry in below(entries, words)]
    flags = ["--debug[show where an error arose]", "--version[name this version]"] if not words else []
    specs = " ".join(_quoted(spec) for spec in [*flags, "--help[show help]", "1:command:->command", "*::argument:->argument"])
    return "\n".join(
        [
            f"{_function(words)}() {{",
            "    local state",
            "    local -a commands",
            "    commands=(",
            *(f"        {name}" for name in names),
            "    )",
            f"    _arguments -C {specs}",
            "    case $state in",
            "        command) _describe command commands ;;",
            "        argument)",
            "            case $words[1] in",
            *calls,
            "            esac ;;",
            "    esac",
            "}",
            "",
        ]
    )


def _leaf(entry: Entry) -> str:
    specs = [spec for option in entry.options for spec in _specs(option)] + [_quoted("--help[show help]")]
    rest = entry.command is not None and entry.command.rest
    if entry.kind:
        specs.append(_quoted(f"{'1' if rest else '*'}:word:{_action(entry.kind)}"))
    specs += [_quoted("*::command:_normal")] if rest else []
    lines = " \\\n".join(f"        {spec}" for spec in specs)
    return f"{_function(entry.words)}() {{\n    _arguments -s -S \\\n{lines}\n}}\n"


def _specs(option: Option) -> list[str]:
    """One specification for each name of the option; those of one option exclude each other."""
    names = [*([f"-{option.short}"] if option.short else []), f"--{option.long}"]
    kind, label = kind_of(option), option.value.replace(":", "\\:")
    value = "" if kind == "-" else f":{label}:{_action(kind)}"
    again = "*" if option.many else f"({' '.join(names)})"
    about = option.about.replace("[", "\\[").replace("]", "\\]")
    return [_quoted(f"{again}{name}{_joint(name, kind)}[{about}]{value}") for name in names]


def _joint(name: str, kind: str) -> str:
    """--name=value or --name value; -nvalue or -n value."""
    if kind == "-":
        return ""
    return "=" if name.startswith("--") else "+"


def _action(kind: str) -> str:
    known = {"file": "_files", "profile": "_enforcer_profile", "image": "_enforcer_image", "": " "}
    return known.get(kind, f"({kind})")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
