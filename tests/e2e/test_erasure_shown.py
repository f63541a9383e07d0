"""The show of an export and an erasure runs, and finds nothing left of her."""

import asyncio
import sys

import pytest


@pytest.mark.timeout(240)
async def test_the_show_finds_nothing_of_her_but_her_id_in_the_audit_trail() -> None:
    shown = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo.erase_member"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await shown.communicate()
    assert shown.returncode == 0, printed.decode()
    assert "Both stores hold the same: True" in printed.decode()
