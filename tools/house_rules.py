"""The house rules that no bought linter checks, over every file that is committed or about to be.

Why this exists: a rule that no machine checks is broken within a week. Each rule is one small function that yields
`path:line: what is wrong`.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 350
# Code lines of one function, without its docstring: one screen.
MAX_FUNCTION_LINES = 40
CODE = {".py", ".proto", ".sql", ".ts", ".kt", ".go", ".swift"}
BINARY = {".png", ".jpg", ".binpb", ".parquet"}
# What buf and its plugins wrote, relative to the root folder.
GENERATED = re.compile(r"generated/|clients/go/.*\.pb\.go$|clients/typescript/src/gen/")

UNFINISHED = re.compile(
    r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|pytest\.(skip|xfail|importorskip)|mark\.(skip|xfail)"
    r"|except( \w+)?:\s*pass\b|assert True\b|pragma: no cover"
)
BARE_EXCEPTION = re.compile(r"#\s*(noqa(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?|type:\s*ignore(\[[\w, -]+\])?)\s*$")
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(work|root|farm)/")
REGISTRY_HOST = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|registry\.yarnpkg|proxy\.golang\.org|repo1?\.maven\.org"
    r"|^--(extra-)?index-url|\"resolved\": *\"http",
    re.MULTILINE,
)


def committed() -> Iterator[Path]:
    """Yield every file that git knows or would add, deleted ones left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in sorted(set(listed.split("\0")) - {""}):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            yield path


def places(pattern: re.Pattern[str], text: str, complaint: str) -> Iterator[str]:
    """Yield `line: complaint` for every line that the pattern matches."""
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line):
            yield f"{number}: {complaint}"


def text_rules(path: Path, text: str) -> Iterator[str]:
    """Rules on any text: no path of one machine, no host of a package registry."""
    yield from places(MACHINE_PATH, text, "names a path of one machine")
    yield from places(REGISTRY_HOST, text, "names the host of a package registry")
    if path.name == "uv.lock":
        yield "1: uv.lock names hosts: requirements.lock is the only lock"


def code_rules(path: Path, text: str) -> Iterator[str]:
    """Rules on code of ours: readable in one sitting, finished, and every exception to a linter explained."""
    # One service is one file, and one enum is, whatever they hold: protobuf cannot divide them.
    indivisible = path.name.endswith(("_service.proto", "_reason.proto"))
    if (count := text.count("\n")) > MAX_FILE_LINES and not indivisible:
        yield f"{count}: the file has more than {MAX_FILE_LINES} lines; split it by use case"
    yield from places(UNFINISHED, text, "unfinished, skipped or swallowed")
    yield from places(BARE_EXCEPTION, text, "an exception to a linter needs its code and a reason on the same line")


def function_rules(text: str) -> Iterator[str]:
    """A function fits on one screen, its docstring not counted."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {length} lines, more than {MAX_FUNCTION_LINES}"


def makefile_rules(text: str) -> Iterator[str]:
    """Every command of the Makefile has one line of help."""
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    for target in phony.group(1).split() if phony else ["help"]:
        if not re.search(rf"^{target}:.*## \S", text, re.MULTILINE):
            yield f"1: the target {target} has no line of help"


def complaints(path: Path) -> Iterator[str]:
    """Yield what is wrong with one file, as `line: complaint`."""
    if path.suffix in BINARY:
        return
    text = path.read_text("utf-8")
    yield from text_rules(path, text)
    if path.name == "Makefile":
        yield from makefile_rules(text)
    generated = GENERATED.match(path.relative_to(ROOT).as_posix())
    if path.suffix in CODE and not generated and path != Path(__file__):
        yield from code_rules(path, text)
        if path.suffix == ".py" and "migrations" not in path.parts:  # A migration is a list of tables.
            yield from function_rules(text)


def main() -> None:
    """Print every broken rule; ends the program when there is one."""
    found = [f"{path.relative_to(ROOT)}:{complaint}" for path in committed() for complaint in complaints(path)]
    if found:
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
