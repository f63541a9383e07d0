"""Starting is quick, and an idle server small: what few servers or few jobs need is not loaded with the rest."""

import subprocess
import sys

# Imports what a server imports when it starts: the modules at the top, the edge, the stores, and every servicer.
PROGRAM = """
import importlib, pkgutil, sys
import svoykrug_server
names = [module.name for module in pkgutil.walk_packages(svoykrug_server.__path__, "svoykrug_server.")]
wanted = ("servicer", "server", "stores")
for name in names:
    if (name.count(".") == 1 and not name.endswith("__main__")) or name.rpartition(".")[2] in wanted:
        importlib.import_module(name)
rare = {"aiohttp", "alembic", "chdb", "matplotlib", "pandas", "pyarrow", "scipy", "skops", "sklearn"}
print(*sorted(rare & sys.modules.keys()))
"""


def test_importing_the_server_loads_nothing_that_only_some_settings_or_jobs_need() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


SHIPPING = r"""
import sys
from svoykrug_server.purchases.ledger_block import LedgerBlock
rows = LedgerBlock(b"PGCOPY\n\xff\r\n\x00" + bytes(8) + b"\xff\xff").to_arrow({})
print(len(rows), "pandas" in sys.modules)
"""


def test_the_first_purchase_does_not_load_pandas_on_its_way_to_the_warehouse() -> None:
    done = subprocess.run([sys.executable, "-c", SHIPPING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "0 False", "")
