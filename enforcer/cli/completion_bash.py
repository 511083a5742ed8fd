"""Completion for bash, without the package bash-completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.cli.completion_words import PROGRAM, SCHEMES, below, kind_of

if TYPE_CHECKING:
    from enforcer.cli.completion_words import Entry

_UNKNOWN = "?"  # a value, of which there is nothing to say
# bash splits words at ":" and "=", so the line is split here again, at blanks; what stands before the last ":" or "=" of the
# current word is then taken off the answers, since bash replaces only what follows it.
_FRAME = """\
# Completion of enforcer for bash: source <(enforcer completion bash)
_enforcer_table() {{  # COMMAND OPTION|words|options|rest: sets kind
    kind=""
    case "$1 $2" in
{table}
    esac
}}

_enforcer_answer() {{  # KIND PREFIX: prints one candidate a line
    case $1 in
        file) compgen -f -- "$2" ;;
        profile) compgen -W "$({program} policy list --quiet 2>/dev/null)" -- "$2"; compgen -f -- "$2" ;;
        image)
            case $2 in
                *:*) compgen -P "${{2%%:*}}:" -f -- "${{2#*:}}" ;;
                *) compgen -W "{schemes}" -- "$2" ;;
            esac ;;
        *) compgen -W "$1" -- "$2" ;;
    esac
}}

_enforcer() {{
    local line=${{COMP_LINE:0:COMP_POINT}} words current command="" pending="-" count=0 kind word index
    local IFS=$' \\t\\n'
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${{words[-1]}}
    for ((index = 1; index < ${{#words[@]}} - 1; index++)); do
        word=${{words[index]}}
        if [[ $pending != "-" ]]; then
            pending="-"
        elif [[ $word == -* && $word != *=* ]]; then
            _enforcer_table "$command" "$word"
            pending=$kind
        elif [[ $word != -* ]]; then
            _enforcer_table "$command" commands
            if [[ " $kind " == *" $word "* ]]; then
                command=${{command:+$command }}$word
            else
                _enforcer_table "$command" rest
                [[ $kind ]] && return 0
                count=$((count + 1))
            fi
        fi
    done
    if [[ $pending != "-" ]]; then
        kind=$pending
    elif [[ $current == --*=* ]]; then
        _enforcer_table "$command" "${{current%%=*}}"
        current=${{current#*=}}
    elif [[ $current == -* ]]; then
        _enforcer_table "$command" options
    else
        _enforcer_table "$command" commands
        [[ $kind ]] || _enforcer_table "$command" words
    fi
    COMPREPLY=()
    [[ $kind == "" || $kind == "-" || $kind == "?" ]] && return 0
    mapfile -t COMPREPLY < <(_enforcer_answer "$kind" "$current")
    local broken=${{current%"${{current##*[:=]}}"}}
    if [[ $broken && $COMP_WORDBREAKS == *:* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${{COMPREPLY[@]#"$broken"}}")
    fi
    [[ ${{COMPREPLY[0]-}} == *: || -d ${{COMPREPLY[0]-}} ]] && compopt -o nospace 2>/dev/null
    return 0
}}
complete -o filenames -F _enforcer {program}
"""


def script(entries: tuple[Entry, ...]) -> str:
    """Return the script."""
    rows = [('" commands"', _names(entries, ())), ('" options"', "--debug --help --version")]
    for entry in entries:
        command = " ".join(entry.words)
        longs = [f"--{option.long}" for option in entry.options]
        rows += [
            (f'"{command} commands"', _names(entries, entry.words)),
            (f'"{command} options"', " ".join([*longs, "--help"])),
            (f'"{command} words"', entry.kind),
            (f'"{command} rest"', "rest" if entry.command and entry.command.rest else ""),
        ]
        for option in entry.options:
            names = [f'"{command} --{option.long}"', *([f'"{command} -{option.short}"'] if option.short else [])]
            rows.append(("|".join(names), kind_of(option) or _UNKNOWN))
    table = [f'        {pattern}) kind="{kind}" ;;' for pattern, kind in rows if kind]
    table.append('        *" -"*) kind="-" ;;')
    return _FRAME.format(table="\n".join(table), program=PROGRAM, schemes=" ".join(SCHEMES))


def _names(entries: tuple[Entry, ...], words: tuple[str, ...]) -> str:
    return " ".join(entry.words[-1] for entry in below(entries, words))
