"""Opens the listening ports, or says in one line why it cannot."""

import errno
import os
import socket
from ipaddress import ip_address

import grpc
import structlog

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.tls import Certificates

_log = structlog.get_logger("svoykrug_server.rpc")


def check_addresses(options: RpcOptions) -> None:
    """Finds out before anything else is started whether every address can be listened on.

    Raises:
        CannotStart: A port is in use, or an address is wrong.
    """
    for address in options.listen:
        _check_form(address)
        _check_free(address)


def listen(server: grpc.aio.Server, options: RpcOptions) -> tuple[str, ...]:
    """Opens every address of the options.

    Returns:
        The addresses with the ports that were taken for port 0.

    Raises:
        CannotStart: A port is in use, an address is wrong, or plaintext would leave this machine unasked.
    """
    credentials = Certificates(options.tls).credentials() if options.tls is not None else None
    bound = []
    for address in options.listen:
        _check_form(address)
        if credentials is None and not _is_loopback(_host(address)):
            _check_plaintext(address, options)
        _check_free(address)
        try:
            port = (
                server.add_insecure_port(address)
                if credentials is None
                else server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            raise CannotStart(f"Cannot listen on {address}. Set SVOYKRUG_LISTEN.", ExitCode.SETTINGS) from error
        bound.append(address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}")
    return tuple(bound)


def _check_plaintext(address: str, options: RpcOptions) -> None:
    if not options.allow_plaintext:
        raise CannotStart(
            f"{address} is reached from other machines, and there is no TLS: tokens would travel readable. Set "
            "SVOYKRUG_TLS_CERTIFICATE and SVOYKRUG_TLS_KEY, or SVOYKRUG_ALLOW_PLAINTEXT=true behind a proxy with TLS.",
            ExitCode.SETTINGS,
        )
    _log.warning("listening without TLS: anyone between can read tokens", address=address)


def _check_form(address: str) -> None:
    host, _, port_text = address.rpartition(":")
    if not host or (host != "unix" and not port_text.isdecimal()):
        raise CannotStart(f"{address} is no address such as 127.0.0.1:50051. Set SVOYKRUG_LISTEN.", ExitCode.SETTINGS)


def _check_free(address: str) -> None:
    """Finds out whether an address can be listened on by trying: gRPC would tell in lines of its own, and not why."""
    host, port = _host(address), address.rpartition(":")[2]
    if host == "unix":
        return
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"{address} is in use by another program. Stop it, or set SVOYKRUG_LISTEN to another address.",
                ExitCode.PORT_IN_USE,
            ) from error
        why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else "no such host"
        raise CannotStart(f"Cannot listen on {address}: {why}. Set SVOYKRUG_LISTEN.", ExitCode.SETTINGS) from error


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach a host. A Unix socket is one."""
    if host in ("localhost", "unix"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
