"""Make `clients/typescript/src/gen` from the protos, or with `--check` fail when it is stale.

It needs Node with the client's packages (`npm ci` in clients/typescript): `make generate` leaves the committed code as
it is where they are not, `make check` does without, and the client's `npm test` checks.

What an application never reads stays out, and its bundle small: the rules of protovalidate, the HTTP paths and the
texts of errors, all of which the server applies. Deadlines and access rules stay in.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from filecmp import cmp
from pathlib import Path

import third_party

ROOT = Path(__file__).resolve().parent.parent
BUF = ROOT / ".venv" / "bin" / "buf"
CLIENT = ROOT / "clients" / "typescript"
PLUGIN = CLIENT / "node_modules" / ".bin" / "protoc-gen-es"
GENERATED = CLIENT / "src" / "gen"
LEFT_OUT = ["buf.validate", "google.api", "svoykrug.common.v1.error"]


def template(output: Path) -> str:
    """Return what buf is to do: our protos without what is left out, and the details of errors."""
    plugin = {
        "local": str(PLUGIN),
        "out": str(output),
        "opt": ["target=ts", "import_extension=js"],
        "include_imports": True,
    }
    ours = {"directory": "protos", "exclude_types": LEFT_OUT}
    details = {"directory": ".build/third_party", "paths": [".build/third_party/google/rpc/error_details.proto"]}
    return json.dumps({"version": "v2", "inputs": [ours, details], "plugins": [plugin]})


def generate(output: Path) -> None:
    """Generate into the folder `output`; ends the program when buf fails."""
    if subprocess.run([str(BUF), "generate", "--template", template(output)], cwd=ROOT, check=False).returncode != 0:
        raise SystemExit("buf generate failed: see its message above.")


def differences(fresh: Path) -> list[str]:
    """Return the paths that are missing, stale or left over, compared with the folder `fresh`."""
    made = {path.relative_to(fresh) for path in fresh.rglob("*.ts")}
    committed = {path.relative_to(GENERATED) for path in GENERATED.rglob("*.ts")}
    stale = {path for path in made & committed if not cmp(fresh / path, GENERATED / path, shallow=False)}
    return sorted(path.as_posix() for path in (made ^ committed) | stale)


def main() -> None:
    """Generate, or with `--check` name what is stale and fail."""
    checking = "--check" in sys.argv[1:]
    if not PLUGIN.exists():
        print("The packages of clients/typescript are not here (npm ci): its committed code stays as it is.")
        sys.exit(checking)
    third_party.main()
    with tempfile.TemporaryDirectory(prefix="generated-", dir=third_party.BUILD) as folder:
        fresh = Path(folder)
        generate(fresh)
        changed = differences(fresh)
        if not checking:
            shutil.rmtree(GENERATED, ignore_errors=True)
            shutil.copytree(fresh, GENERATED)
            print(f"The TypeScript client is current; {len(changed)} files changed.")
        elif changed:
            names = "\n  ".join(changed)
            raise SystemExit(f"The TypeScript client is stale: run tools/generate_typescript.py.\n  {names}")


if __name__ == "__main__":
    main()
