"""The command line of a script: its module's docstring is the help text."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable


def command_line(name: str, description: str | None) -> ArgumentParser:
    """Make the parser of `python -m scripts.NAME`; lines of the description stay as they are."""
    return ArgumentParser(
        prog=f"python -m scripts.{name}", description=description, formatter_class=RawDescriptionHelpFormatter
    )


def add_trust(parser: ArgumentParser) -> None:
    """Add --trust PACKAGE, which SECURITY.md explains."""
    words = "a package whose parts the checkpoint's model may have, beside fastlight's, torch's and timm's; repeatable"
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help=words)


def chosen_cases(parser: ArgumentParser, names: str, known: Iterable[str]) -> list[str]:
    """The cases in the value of --cases, with commas between them; exit with a line if one is not known."""
    cases = names.split(",")
    if unknown := set(cases) - set(known):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return cases
