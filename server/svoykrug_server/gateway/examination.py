"""What `svoykrug doctor` learns of the gateway on this machine."""

import fcntl
from dataclasses import dataclass
from pathlib import Path

from svoykrug_server.config import Settings
from svoykrug_server.gateway.admin import Admin
from svoykrug_server.gateway.configuration import ADMIN_SOCKET
from svoykrug_server.gateway.folder import LOCK_FILE, folder_of
from svoykrug_server.gateway.starting import NOT_FOUND, find_envoy


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """How the gateway is.

    Attributes:
        text: In plain words.
        is_well: Whether nothing about it needs a person; a gateway that nobody started needs none.
    """

    text: str
    is_well: bool = True


def examine_gateway(settings: Settings) -> GatewayFacts:
    """Asks the gateway of this user on the port of the settings, whoever started it; blocks for a moment."""
    address = settings.gateway_listen
    port = int(address.rpartition(":")[2])
    if port == 0:
        return GatewayFacts("takes a free port: a gateway that runs is known to who started it alone")
    folder = folder_of(port)
    try:
        version, is_live = Admin(folder / ADMIN_SOCKET).version_and_state()
    except OSError:
        return _silent(settings, folder)
    if not is_live:
        return GatewayFacts(f"Envoy {version} is there for {address} and takes no calls: it is starting, or stopping")
    scheme = "http" if settings.gateway_tls_certificate is None else "https"
    return GatewayFacts(f"takes calls on {scheme}://{address}, Envoy {version}")


def _silent(settings: Settings, folder: Path) -> GatewayFacts:
    if _is_owned(folder):
        why = f"was started for {settings.gateway_listen}, but its Envoy does not answer; what Envoy printed says why"
        return GatewayFacts(why, is_well=False)
    envoy = find_envoy(settings)
    if envoy is None:
        return GatewayFacts(f"none runs: {NOT_FOUND}")
    return GatewayFacts(f"none runs on {settings.gateway_listen}; `svoykrug serve --gateway` starts one ({envoy})")


def _is_owned(folder: Path) -> bool:
    """Tells whether a process runs the gateway of a folder."""
    try:
        with (folder / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
