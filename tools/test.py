"""Run every test in two halves side by side: tests wait for databases and servers half of their time.

Each half is a pytest run of its own, with its own stores. The first shows its progress as it goes; the second is shown
when both have ended.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST = ("analytics", "attacks", "crash", "e2e")
# Needs a real Envoy: `make test-gateway`.
APART = ("gateway",)
# Searches what its own run told; so each half has it.
LAST = "tests/attacks/test_nothing_personal_is_told.py"


def halves() -> tuple[list[str], list[str]]:
    """Return the paths of each half; together they are all of tests/ that needs nothing else."""
    names = sorted(
        path.name
        for path in (ROOT / "tests").iterdir()
        if path.name not in APART and (any(path.rglob("test_*.py")) or path.match("test_*.py"))
    )
    first = [f"tests/{name}" for name in names if name in FIRST]
    second = [f"tests/{name}" for name in names if name not in FIRST]
    return first, [*second, LAST]


def main() -> int:
    """Run both halves; return 0 when every test passed."""
    begin = time.monotonic()
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    first, second = halves()
    beside = subprocess.Popen([*pytest, *second], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    shown = subprocess.Popen([*pytest, *first], cwd=ROOT)
    try:
        output, _ = beside.communicate()
        shown.wait()
    except KeyboardInterrupt:
        # Both were interrupted from the terminal too, and stop their servers before they end.
        beside.wait()
        shown.wait()
        return 130
    print(f"\n--- the other half\n{output}", end="")
    passed = beside.returncode == shown.returncode == 0
    print(f"{'every test passed' if passed else 'NOT every test passed'} in {time.monotonic() - begin:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
