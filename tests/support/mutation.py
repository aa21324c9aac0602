"""How many single changes of a module the module's own test files notice.

    pip install cosmic-ray==8.7.0
    python -m tests.support.mutation [--changes 10] [--seed 0] [src/models/base.py ...]

cosmic-ray lists the changes: an operator, a comparison, a constant, a condition. As many as asked are drawn at random
from each module that has a test file of its own (tests mirror src), and each is made in a copy of the tree, where
those tests run, without the long ones. Changes that no test notices are shown; some of them change nothing that can be
noticed.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path.cwd()
KINDS = ("ReplaceBinaryOperator", "ReplaceUnaryOperator", "ReplaceComparisonOperator", "NumberReplacer")
KINDS += ("ReplaceTrue", "ReplaceFalse", "ReplaceAnd", "ReplaceOr", "AddNot")
LIMIT_S = 300  # a change that makes a loop endless is noticed


def tests_of(module):
    """The test files of a module's own: tests/models/test_base*.py for src/models/base.py."""
    folder = Path("tests", *Path(module).parts[1:-1])
    return sorted(map(str, (ROOT / folder).glob(f"test_{Path(module).stem}*.py")))


def changes_of(module, num_changes, seed):
    """(operator, occurrence) of randomly drawn changes of a module."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    tree, found = get_ast_from_path(Path(module)), []
    for name in operator_names():
        kind = name.rpartition("/")[2]
        if kind.startswith(KINDS) and "BitOr" not in kind:  # which stands in annotations
            places = [place for node in ast_nodes(tree) for place in get_operator(name)().mutation_positions(node)]
            found += [(name, occurrence) for occurrence in range(len(places))]
    return random.Random(f"{seed} {module}").sample(found, min(num_changes, len(found)))


def try_change(module, operator, occurrence):
    """Whether the module's tests fail with a change, and the changed lines."""
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator

    with use_mutation(Path(module), get_operator(operator)(), occurrence) as (before, after):
        lines = zip(before.splitlines(), after.splitlines(), strict=False)
        number, line = next((n, f"{a.strip()}  ->  {b.strip()}") for n, (a, b) in enumerate(lines, 1) if a != b)
        return {"module": module, "line": number, "change": line, "noticed": not passes(tests_of(module))}


def passes(tests):
    """Whether test files pass, run in a fork that has imported torch."""
    from tests.support import zygote

    with tempfile.TemporaryFile() as log:
        options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        command = ["pytest", *options, "-m", "not long", *tests]
        process = zygote.start(command, cwd=ROOT, env=dict(os.environ), stdout=log, stderr=log)
        try:
            return process.wait(LIMIT_S) == 0
        except TimeoutError:
            return False


def work(modules, num_changes, seed):
    """Try changes in this tree; print each result as a line of JSON."""
    for module in modules:
        if not passes(tests_of(module)):
            print(json.dumps({"module": module, "broken": True}), flush=True)
            continue
        for operator, occurrence in changes_of(module, num_changes, seed):
            print(json.dumps(try_change(module, operator, occurrence)), flush=True)


def in_copy(modules, args):
    """The results of some modules, found in a copy of the tree."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        ignored = shutil.ignore_patterns("__pycache__", ".git", "runs", "cache", "data", "site", ".venv*", ".*_cache")
        shutil.copytree(ROOT, tree, ignore=ignored)
        command = [sys.executable, "-m", "tests.support.mutation", "--worker", "--changes", str(args.changes)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        command += ["--seed", str(args.seed), *modules]
        done = subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(results):
    """Print each change that went unnoticed, and the shares."""
    for result in results:
        if result.get("broken"):
            print(f"{result['module']}: its tests fail without a change")
        elif not result["noticed"]:
            print(f"{result['module']}:{result['line']}  {result['change']}")
    tried = [result for result in results if "noticed" in result]
    for module in sorted({result["module"] for result in tried}):
        own = [result["noticed"] for result in tried if result["module"] == module]
        print(f"{sum(own):4} of {len(own):3}  {module}")
    noticed = sum(result["noticed"] for result in tried)
    print(f"{noticed} of {len(tried)} changes noticed, {noticed / max(1, len(tried)):.0%}")


def main():
    """Exit status 0 however many changes are noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="files of src; all that have tests of their own if none is named")
    parser.add_argument("--changes", type=int, default=10, help="of each module (10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    modules = args.modules or [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("src/**/*.py"))]
    modules = [module for module in modules if tests_of(module)]
    if args.worker:
        work(modules, args.changes, args.seed)
        return
    random.Random(0).shuffle(modules)
    parts = [part for part in (modules[place :: args.workers] for place in range(args.workers)) if part]
    with ThreadPoolExecutor(len(parts)) as pool:
        report([result for found in pool.map(lambda part: in_copy(part, args), parts) for result in found])


if __name__ == "__main__":
    main()
