"""The command line of a script: its module's docstring is the help text."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter


def command_line(name: str, description: str | None) -> ArgumentParser:
    """Make the parser of `python -m scripts.NAME`; lines of the description stay as they are."""
    return ArgumentParser(
        prog=f"python -m scripts.{name}", description=description, formatter_class=RawDescriptionHelpFormatter
    )
