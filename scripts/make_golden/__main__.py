"""Makes the golden files in tests/golden, with which the tests compare.

    python -m scripts.make_golden                       # the losses, after numbers have changed as they should
    python -m scripts.make_golden --release             # also checkpoints of the present format, at a release
    python -m scripts.make_golden --cases mlp,qrnn      # only these; scripts/make_golden/cases.py names them

- losses/CASE.json: the loss of each of ten steps. It is written again; git shows what has changed.
- format_N/CASE.ckpt: the checkpoint of a small training, with the config that repeats it (.yaml), inputs, the answers
  to them, and the losses of the step that follows (.json).
- format_N/signatures.json: the arguments of all classes that conf names.

What is in a format_N is never written again: files of older versions stay what they are.
"""

import sys
from collections.abc import Sequence

from scripts.make_golden.cases import CASES, GOLDEN
from scripts.shared.arguments import chosen_cases, command_line
from src.core.migrations import newest_format
from src.core.output import show


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; returns the exit status."""
    parser = command_line("make_golden", __doc__)
    parser.add_argument("--cases", default=",".join(CASES), help="comma between names")
    parser.add_argument("--release", action="store_true", help="write what the present format lacks")
    args = parser.parse_args(arguments)
    cases = chosen_cases(parser, args.cases, CASES)
    import torch

    from scripts.make_golden.recording import folder_of, record, write_json
    from scripts.make_golden.signatures import signatures

    torch.set_num_threads(1)
    for case in cases:
        record(case, release=args.release)
        show(case)
    place = folder_of(newest_format()) / "signatures.json"
    if args.release and not place.exists():
        write_json(place, signatures())
    size = sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file())
    show(f"{GOLDEN}: {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
