"""The real server as a client's users meet it: `svoykrug serve` in a folder of its own."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

_START_SECONDS = 120.0
_SMS_CODE = re.compile(r"@\S+ #(\d{6})")


class ServerProcess:
    """A server that stays on one port over its restarts.

    Args:
        folder: Its own; PostgreSQL's user can pass it.

    Attributes:
        target: Where it takes calls.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._console = folder / "console.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self.target = "127.0.0.1:0"

    def start(self) -> None:
        """Returns once the server takes calls."""
        ready = self._folder / "ready.json"
        ready.unlink(missing_ok=True)
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                self._command("serve"), env=self._environment(), stdout=console, stderr=console
            )
        end = time.monotonic() + _START_SECONDS
        while not ready.exists():
            assert self._process.poll() is None, self._console.read_text()[-5000:]
            assert time.monotonic() < end, f"it takes no calls within {_START_SECONDS} s"
            time.sleep(0.05)
        self.target = json.loads(ready.read_text())["addresses"][0]

    def stop(self) -> None:
        """Stops it in order."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(_START_SECONDS) == 0, self._console.read_text()[-5000:]

    def restart(self) -> None:
        """Stops it and starts it again on the same stores and the same port."""
        self.stop()
        self.start()

    def operate(self, *arguments: str) -> None:
        """Runs a command of the operator beside it."""
        done = subprocess.run(
            self._command(*arguments), env=self._environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def codes(self) -> list[str]:
        """Returns the codes that it showed on its console so far."""
        return _SMS_CODE.findall(self._console.read_text())

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "svoykrug_server", *arguments]

    def _environment(self) -> dict[str, str]:
        own = {
            "DATA_DIR": str(self._folder / "data"),
            "LISTEN": json.dumps([self.target]),
            "HTTP_PORT": "0",
            "READY_FILE": str(self._folder / "ready.json"),
            "DRAIN_SECONDS": "0",
            "GRACE_SECONDS": "1",
            "MINIMUM_FREE_DISK_MB": "0",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
        return {**inherited, **{f"SVOYKRUG_{name}": value for name, value in own.items()}, "COLUMNS": "120"}
