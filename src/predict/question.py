"""Which kind of data a question to predict.py is about, and whether it can be asked. Without torch."""

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.core.domains import Domain, domains
from src.core.errors import ConfigError


def check_question(config: Mapping[str, Any]) -> None:
    """Raise ConfigError unless exactly one question is asked, its domain accepts it, and no input is written over.

    A file whose ending tells nothing is left to the domain of the checkpoint.
    """
    keys = dict.fromkeys(domain.asked_by for domain in domains())
    asked = [key for key in keys if config[key] is not None]
    if len(asked) != 1:
        raise ConfigError(f"give one of {', '.join(f'{key}=...' for key in keys)}; python predict.py --help has more")
    domain = domain_asked(config)
    if domain is None and not Path(config["input"]).is_file():
        domain = _domain_inside(config["input"], config["output"])
    if domain is not None:
        Domain.load(domain.check)(config)
    if config["input"] is not None:
        _check_output(config["input"], config["output"], domain)


def _check_output(source: str, output: str, domain: Domain | None) -> None:
    """Raise ConfigError if the output is a file to be read, by whatever name or link."""
    if not os.path.exists(output):
        return
    files = [source] if os.path.isfile(source) else _files(source)
    for file in files:
        is_read = file == source or domain is None or _ends(file, domain)
        if is_read and os.path.exists(file) and os.path.samefile(file, output):
            raise ConfigError(f"output={output} would write over the input {file}: name another file")


def domain_asked(config: Mapping[str, Any]) -> Domain | None:
    """The domain that a question names by its key or by the ending of its input; None if they do not tell."""
    takers = [domain for domain in domains() if config[domain.asked_by] is not None]
    named = [domain for domain in takers if domain.suffixes is None or _ends(config["input"], domain)]
    return named[0] if named else None


def _domain_inside(source: str, output: str) -> Domain:
    """The domain of the first known file in a folder or of a pattern. Raises ConfigError if there is none.

    An older output in a folder of images is no table to predict.
    """
    takers = [domain for domain in domains() if domain.suffixes is not None]
    is_folder = Path(source).is_dir()
    files = _files(source)
    if is_folder:
        files = [file for file in files if os.path.relpath(file) != os.path.relpath(output)] or files
    if not is_folder and not files:
        raise ConfigError(f"input={source} is not a file or a folder, and as a pattern matches no file")
    found = (domain for file in files for domain in takers if _ends(file, domain))
    domain = next(found, None)
    if domain is None:
        known = (suffix for domain in takers for suffix in Domain.load(domain.suffixes or ""))
        raise ConfigError(f"input={source} holds no file that can be predicted ({', '.join(known)})")
    return domain


def _ends(file: str, domain: Domain) -> bool:
    return domain.suffixes is not None and file.lower().endswith(Domain.load(domain.suffixes))


def _files(source: str) -> Sequence[str]:
    """The files of a folder, with those below it, or of a pattern."""
    return list(_walk(source)) if os.path.isdir(source) else sorted(glob.glob(source, recursive=True))


def _walk(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in sorted(names))
