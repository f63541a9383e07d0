"""Asks Envoy things over the socket that only its own user can open."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 5.0


class Admin:
    """Envoy's administration. Each method blocks for a moment, and raises `OSError` when no Envoy answers.

    Args:
        path: Its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_live(self) -> bool:
        """Tells whether Envoy has started and takes calls."""
        return self._ask("GET", "/ready")[0] == http.HTTPStatus.OK

    def version_and_state(self) -> tuple[str, bool]:
        """Returns Envoy's version, such as `1.36.2`, and whether it takes calls."""
        info: Any = json.loads(self._ask("GET", "/server_info")[1])
        # The commit it was built from, the version, how the tree was, how it was built, the TLS library.
        return str(info["version"]).split("/")[1], info["state"] == "LIVE"

    def port(self) -> int:
        """Returns the port that Envoy listens on."""
        [status] = json.loads(self._ask("GET", "/listeners?format=json")[1])["listener_statuses"]
        return int(status["local_address"]["socket_address"]["port_value"])

    def calls_in_progress(self) -> int:
        """Returns how many requests are being answered."""
        name = "http.gateway.downstream_rq_active"
        stats: Any = json.loads(self._ask("GET", f"/stats?format=json&filter=^{name}$")[1])["stats"]
        return sum(int(stat["value"]) for stat in stats)

    def announce_stop(self) -> None:
        """Makes `/readyz` fail, and asks every caller to close her connection after the calls that are on it."""
        self._ask("POST", "/healthcheck/fail")
        self._ask("POST", "/drain_listeners?graceful&skip_exit")

    def quit(self) -> None:
        """Makes Envoy end."""
        self._ask("POST", "/quitquitquit")

    def _ask(self, verb: str, path: str) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path)
        try:
            connection.request(verb, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"Envoy's administration did not answer: {type(error).__name__}") from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
