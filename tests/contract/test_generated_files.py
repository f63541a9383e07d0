"""What is generated is what the protos say, and a released contract is never broken."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import third_party

ROOT = Path(__file__).resolve().parents[2]
BUF = ROOT / ".venv" / "bin" / "buf"
RELEASED = ROOT / "protos" / "released.binpb"


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """A copy of the protobuf module that a test may spoil."""
    third_party.main()
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copytree(third_party.THIRD_PARTY, tmp_path / ".build" / "third_party")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def breaking(module: Path) -> subprocess.CompletedProcess[str]:
    """Compare a module with the released contract, as `make check` does."""
    command = [str(BUF), "breaking", "protos", "--against", str(RELEASED)]
    return subprocess.run(command, cwd=module, capture_output=True, text=True, check=False)


def test_generated_files_are_current() -> None:
    command = [sys.executable, "tools/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_contract_keeps_what_was_released(protos: Path) -> None:
    done = breaking(protos)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def spoil(proto: Path, pattern: str, replacement: str) -> None:
    """Change the first line of a proto that matches a pattern."""
    text, count = re.subn(pattern, replacement, proto.read_text("utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1
    proto.write_text(text, "utf-8")


def test_a_removed_field_is_a_breaking_change(protos: Path) -> None:
    spoil(protos / "protos/svoykrug/users/v1/user.proto", r"^  string \w+ = \d+( \[[^;]*\])?;\n", "")

    done = breaking(protos)

    assert done.returncode != 0
    assert "was deleted" in done.stdout


def test_a_changed_type_is_a_breaking_change(protos: Path) -> None:
    spoil(protos / "protos/svoykrug/purchases/v1/purchase.proto", r"^  int64 (\w+_minor)", r"  double \1")

    done = breaking(protos)

    assert done.returncode != 0
    assert "changed" in done.stdout
