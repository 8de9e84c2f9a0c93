"""The table of faults in ``deploy/FAULTS.md``: which fault is proven by which tests.

As a program it prints the tests, for ``make nemesis``.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "deploy" / "FAULTS.md"
_ROW = re.compile(r"^\| ([FM]\d+) \|(.*)$", re.MULTILINE)
_TEST = re.compile(r"`((?:tests|conformance)/[\w/]+\.py(?:::\w+)?)`")


def rows() -> dict[str, tuple[str, ...]]:
    """Return fault → the tests that its row names."""
    return {name: tuple(_TEST.findall(rest)) for name, rest in _ROW.findall(TABLE.read_text())}


def exists(test: str) -> bool:
    """Say whether a test stands where the table says, and can be collected."""
    file, _, name = test.partition("::")
    if not (ROOT / file).is_file():
        return False
    functions = {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    return name in functions if name else bool(functions)


if __name__ == "__main__":
    named = {test for tests in rows().values() for test in tests}
    whole = {test for test in named if "::" not in test}
    sys.stdout.write(
        " ".join(sorted(t for t in named if t.partition("::")[0] not in whole or t in whole))
    )
