"""The command line of a script: its module's docstring is the help text."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter


def command_line(name: str, description: str | None) -> ArgumentParser:
    """Make the parser of `python -m scripts.NAME`; lines of the description stay as they are."""
    return ArgumentParser(
        prog=f"python -m scripts.{name}", description=description, formatter_class=RawDescriptionHelpFormatter
    )


def add_trust(parser: ArgumentParser) -> None:
    """Add --trust PACKAGE, which SECURITY.md explains."""
    words = "a package whose parts the checkpoint's model may have, beside fastlight's, torch's and timm's; repeatable"
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help=words)
