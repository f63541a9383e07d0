"""The TypeScript client, built and installed as its users get it."""

from pathlib import Path

from tests.gateway.commands import run_command

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "typescript"


async def build_package() -> None:
    """Builds the package; what it needs is installed when it is not there."""
    if not (CLIENT / "node_modules").exists():
        await run_command(CLIENT, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    await run_command(CLIENT, "npm", "run", "--silent", "build")


def install_package(folder: Path) -> None:
    """Lets the programs in a folder import the built package, and what npm installs beside it."""
    modules = folder / "node_modules"
    (modules / "@svoykrug").mkdir(parents=True)
    (modules / "@svoykrug" / "client").symlink_to(CLIENT)
    for name in ("@bufbuild", "@types", "undici-types"):
        (modules / name).symlink_to(CLIENT / "node_modules" / name)
