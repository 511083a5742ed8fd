"""Options of a command as a table: parsed, and shown by --help. On the launch path, so argparse (11 ms) is not used."""

from __future__ import annotations

from enforcer.errors import UsageError


class Option:
    """One option.

    value: the word for its value in the help, "" for a switch. choices: the only values there are, the first one when the
    option is left out. many: it may be given several times.
    """

    __slots__ = ("about", "choices", "long", "many", "short", "value")

    def __init__(
        self,
        long: str,
        about: str,
        *,
        short: str = "",
        value: str = "",
        choices: tuple[str, ...] = (),
        many: bool = False,
    ) -> None:
        self.long = long
        self.short = short
        self.value = value
        self.choices = choices
        self.many = many
        self.about = about


# How `run` and `plan` are told under what an image runs.
POLICY_OPTIONS = (
    Option("policy", "profile to use, by path or name, instead of the one that matches the image", value="NAME|FILE"),
    Option("allow-net", "let connections go there (a clause of the profile 'command-line')", value="HOST:PORT", many=True),
    Option("allow-read", "bind this path of the host, to be read", value="PATH", many=True),
    Option("allow-write", "bind this path of the host, to be read and written", value="PATH", many=True),
    Option("accept-weaker", "run although this clause does not hold as written on this host", value="CLAUSE", many=True),
)


class Parsed:
    """What was given: `one`, `all` and `on` ask for an option by its long name; `words` are the rest."""

    __slots__ = ("_given", "words")

    def __init__(self, given: dict[str, list[str]], words: list[str]) -> None:
        self._given = given
        self.words = words

    def one(self, name: str, default: str = "") -> str:
        """Return the value of an option given once."""
        return self._given.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        """Return every value of an option."""
        return self._given.get(name, [])

    def on(self, name: str) -> bool:
        """Tell whether a switch was given."""
        return name in self._given


class Command:
    """A command's name, what it does, its words as the help shows them ("IMAGE [CMD…]"), and its options.

    rest: everything from the second word on belongs to the payload, options included.
    """

    __slots__ = ("about", "name", "options", "rest", "words")

    def __init__(self, name: str, about: str, words: str, options: tuple[Option, ...], *, rest: bool = False) -> None:
        self.name = name
        self.about = about
        self.words = words
        self.options = options
        self.rest = rest

    def usage(self) -> str:
        """Return the text of --help."""
        rows = [(self._names(option), option.about) for option in self.options] + [("    --help", "show this text")]
        width = max(len(names) for names, _ in rows) + 2
        lines = [f"usage: enforcer {self.name} [OPTION…] {self.words}".rstrip(), "", self.about, ""]
        return "\n".join(lines + [f"  {names:{width}}{about}" for names, about in rows])

    @staticmethod
    def _names(option: Option) -> str:
        short = f"-{option.short}, " if option.short else "    "
        return f"{short}--{option.long}" + (f" {option.value}" if option.value else "")

    def parse(self, argv: list[str]) -> Parsed:
        """Parse a command line. Raises UsageError for an unknown option, a missing or superfluous value, or a repetition."""
        given: dict[str, list[str]] = {}
        words: list[str] = []
        at = 0
        while at < len(argv):
            word = argv[at]
            at += 1
            if word == "--":
                words += argv[at:]
                break
            if word == "-" or not word.startswith("-"):
                words.append(word)
                if self.rest:
                    words += argv[at:]
                    break
                continue
            for option, value in self._split(word):
                if not option.value and value is not None:
                    raise self._wrong(f"--{option.long} takes no value")
                if option.value and value is None:
                    if at == len(argv):
                        raise self._wrong(f"--{option.long} needs a value: {option.value}")
                    value = argv[at]  # noqa: PLW2901
                    at += 1
                self._check(option, value, given)
                given.setdefault(option.long, []).append(value or "")
        return Parsed(given, words)

    def _split(self, word: str) -> list[tuple[Option, str | None]]:
        """Return the options in one word, with the value where the word holds it: --name=x, -e=…, -it."""
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            return [(self._find("--", name), value if equals else None)]
        found: list[tuple[Option, str | None]] = []
        letters = word[1:]
        while letters:
            option = self._find("-", letters[0])
            letters = letters[1:]
            if option.value and letters:
                found.append((option, letters.removeprefix("=")))
                break
            found.append((option, None))
        return found

    def _find(self, dashes: str, name: str) -> Option:
        if name == "help" and dashes == "--":
            return Option("help", "")
        for option in self.options:
            if name == (option.long if dashes == "--" else option.short):
                return option
        raise self._wrong(f"there is no option {dashes}{name}", near=name)

    def _check(self, option: Option, value: str | None, given: dict[str, list[str]]) -> None:
        if option.long in given and not option.many:
            raise self._wrong(f"--{option.long} is given twice")
        if option.choices and value not in option.choices:
            choices = ", ".join(option.choices)
            raise UsageError(f"there is no {option.long} {value!r}", where=f"enforcer {self.name}", hint=f"one of {choices}")

    def _wrong(self, what: str, near: str = "") -> UsageError:
        import difflib  # noqa: PLC0415  (only when something is wrong)

        close = difflib.get_close_matches(near, [option.long for option in self.options], 1)
        hint = f"did you mean --{close[0]}?" if close else f"enforcer {self.name} --help"
        return UsageError(what, where=f"enforcer {self.name}", hint=hint)
