"""Gives Envoy its certificate, and the renewed one as soon as it is there."""

import json
import ssl
from pathlib import Path
from typing import Self

import structlog

from svoykrug_server.config import Settings
from svoykrug_server.gateway.configuration import CERTIFICATE_FILE, certificate
from svoykrug_server.kit.startup import CannotStart, ExitCode

_log = structlog.get_logger(__name__)


class CertificateFiles:
    """A certificate chain and its key.

    Envoy reads them again when the file that names them is replaced by one with other names: so each change of the
    files is offered to it under new links.

    Args:
        chain: The chain, a PEM file.
        key: The private key, a PEM file.
        folder: The gateway's folder.

    Raises:
        CannotStart: They cannot be read, or are no certificate and its key.
    """

    def __init__(self, chain: Path, key: Path, folder: Path) -> None:
        self._files = {"chain": chain.absolute(), "key": key.absolute()}
        self._folder = folder
        problem = self._problem()
        if problem:
            named = "SVOYKRUG_GATEWAY_TLS_CERTIFICATE and SVOYKRUG_GATEWAY_TLS_KEY"
            raise CannotStart(f"{named} are not usable for TLS: {problem}.", ExitCode.SETTINGS)
        self._stamp = self._read_stamp()

    @classmethod
    def of(cls, settings: Settings, folder: Path) -> Self | None:
        """Returns those that the settings name; None when they name none."""
        chain, key = settings.gateway_tls_certificate, settings.gateway_tls_key
        return None if chain is None or key is None else cls(chain, key, folder)

    def offer(self) -> None:
        """Shows Envoy the files as they are now."""
        links = {name: self._folder / f"{name}-{self._stamp}.pem" for name in self._files}
        for old in self._folder.glob("*-*.pem"):
            old.unlink()
        for name, link in links.items():
            link.symlink_to(self._files[name])
        arriving = self._folder / f"{CERTIFICATE_FILE}.arriving"
        arriving.write_text(json.dumps(certificate(links["chain"], links["key"])), "utf-8")
        arriving.replace(self._folder / CERTIFICATE_FILE)

    def offer_if_changed(self) -> bool:
        """Shows Envoy the files when they changed and fit together; returns whether it did."""
        try:
            stamp = self._read_stamp()
        except FileNotFoundError:  # One is being replaced.
            return False
        if stamp == self._stamp:
            return False
        if problem := self._problem():
            _log.warning("gateway_certificate_unusable", reason=problem)
            return False
        self._stamp = stamp
        self.offer()
        return True

    def _read_stamp(self) -> str:
        return "-".join(str(file.stat().st_mtime_ns) for file in self._files.values())

    def _problem(self) -> str:
        """Says why they cannot be used; empty when they can."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._files["chain"], self._files["key"])
        except ssl.SSLError as error:
            return (error.reason or "no certificate and its key").replace("_", " ").lower()
        except OSError as error:
            return f"{error.filename or 'a file'} cannot be read: {error.strerror}"
        return ""
