"""TLS for the listening ports; a renewed certificate is taken without a restart."""

import ssl
from collections.abc import Callable
from typing import cast

import grpc
import structlog

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.rpc.options import TlsOptions

_log = structlog.get_logger("svoykrug_server.rpc")
Stamp = tuple[int, ...]
# The published types leave out what the documentation says: None means "no change".
Fetcher = Callable[[], grpc.ServerCertificateConfiguration]


class Certificates:
    """Reads the certificate files, and reads them again once they changed.

    Args:
        options: Where the files are.

    Raises:
        CannotStart: A file cannot be read, or they are no certificate and its key.
    """

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._files = [options.certificate, options.key]
        if options.client_authorities is not None:
            self._files.append(options.client_authorities)
        try:
            self._stamp = self._read_stamp()
            self._configuration = self._read()
        except ssl.SSLError as error:
            raise CannotStart(f"{self._names} are not usable for TLS: {_words(error)}.", ExitCode.SETTINGS) from error
        except OSError as error:
            why = f"The TLS file {error.filename} cannot be read: {error.strerror}."
            raise CannotStart(why, ExitCode.SETTINGS) from error

    def credentials(self) -> grpc.ServerCredentials:
        """Returns credentials that ask at every handshake whether the files changed."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            cast(Fetcher, self._changed),
            require_client_authentication=self._options.client_authorities is not None,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns the new certificate, or None to keep the last: also while the files are being replaced."""
        try:
            stamp = self._read_stamp()
            if stamp == self._stamp:
                return None
            configuration = self._read()
        except ssl.SSLError as error:
            # Once for each change: half of a pair may have been replaced, or somebody wrote nonsense.
            self._stamp = stamp
            _log.warning("certificate_not_taken", files=self._names, reason=_words(error))
            return None
        except OSError:
            return None
        self._stamp = stamp
        return configuration

    def _read_stamp(self) -> Stamp:
        return tuple(file.stat().st_mtime_ns for file in self._files)

    @property
    def _names(self) -> str:
        return ", ".join(map(str, self._files))

    def _read(self) -> grpc.ServerCertificateConfiguration:
        """Reads the files; only OpenSSL says what is wrong with them, gRPC does not."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._options.certificate, self._options.key, password="")
        if self._options.client_authorities is not None:
            context.load_verify_locations(self._options.client_authorities)
        authorities = self._options.client_authorities
        return grpc.ssl_server_certificate_configuration(
            [(self._options.key.read_bytes(), self._options.certificate.read_bytes())],
            root_certificates=authorities.read_bytes() if authorities is not None else None,
        )


def _words(error: ssl.SSLError) -> str:
    """Returns OpenSSL's reason in words, such as `key values mismatch`."""
    return (error.reason or "not in PEM").replace("_", " ").lower()
