"""Opens the listening ports, or says in one line why it cannot."""

import socket
from ipaddress import ip_address
from pathlib import Path

import grpc
import structlog

from svoykrug_server.kit.startup import CannotStart, ExitCode, cannot_listen
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.tls import Certificates

HIGHEST_PORT = 65_535
_log = structlog.get_logger("svoykrug_server.rpc")


def check_addresses(options: RpcOptions) -> None:
    """Finds out before anything else is started whether every address can be listened on.

    Raises:
        CannotStart: A port is in use, an address is wrong, the TLS files are, or plaintext would leave this machine
            unasked.
    """
    if options.tls is not None:
        Certificates(options.tls)
    for address in options.listen:
        _check(address, options)
        if not address.endswith(":0") and options.listen.count(address) > 1:
            raise CannotStart(f"{address} is named twice. Set SVOYKRUG_LISTEN.", ExitCode.SETTINGS)


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
        _check(address, options)
        if credentials is None and not _is_loopback(_host(address)):
            _log.warning("listening without TLS: anyone between can read tokens", address=address)
        try:
            port = (
                server.add_insecure_port(address)
                if credentials is None
                else server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            raise CannotStart(f"Cannot listen on {address}. Set SVOYKRUG_LISTEN.", ExitCode.SETTINGS) from error
        bound.append(address if _is_unix(address) else f"{address.rpartition(':')[0]}:{port}")
    return tuple(bound)


def _check(address: str, options: RpcOptions) -> None:
    """Finds out whether one address is right, allowed and free."""
    _check_form(address)
    if options.tls is None and not options.allow_plaintext and not _is_loopback(_host(address)):
        raise CannotStart(
            f"{address} is reached from other machines, and there is no TLS: tokens would travel readable. Set "
            "SVOYKRUG_TLS_CERTIFICATE and SVOYKRUG_TLS_KEY, or SVOYKRUG_ALLOW_PLAINTEXT=true behind a proxy with TLS.",
            ExitCode.SETTINGS,
        )
    _check_free(address, options)


def _check_form(address: str) -> None:
    if _is_unix(address):
        return
    host, _, port_text = address.rpartition(":")
    is_port = port_text.isdecimal() and int(port_text) <= HIGHEST_PORT
    if not host or not is_port or (":" in host and not host.startswith("[")):
        raise CannotStart(
            f"{address} is no address such as 127.0.0.1:50051 or [::1]:50051. Set SVOYKRUG_LISTEN.", ExitCode.SETTINGS
        )


def _check_free(address: str, options: RpcOptions) -> None:
    """Finds out whether an address can be listened on by trying: gRPC would tell in lines of its own, and not why."""
    try:
        if _is_unix(address):
            Path(address.partition(":")[2]).parent.stat()
            return
        bound_socket(address, socket.SO_REUSEPORT if options.shares_ports else socket.SO_REUSEADDR).close()
    except OSError as error:
        raise cannot_listen(address, error, "SVOYKRUG_LISTEN to another address") from error


def bound_socket(address: str, option: int) -> socket.socket:
    """Returns a socket that holds an address and takes no calls.

    Args:
        address: Such as `127.0.0.1:50051`.
        option: Who else may hold it: `SO_REUSEADDR` or `SO_REUSEPORT`.

    Raises:
        OSError: The address cannot be had.
    """
    host, port = _host(address), address.rpartition(":")[2]
    family, kind, protocol, _, target = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    holding = socket.socket(family, kind, protocol)
    try:
        holding.setsockopt(socket.SOL_SOCKET, option, 1)
        holding.bind(target)
    except BaseException:
        holding.close()
        raise
    return holding


def _is_unix(address: str) -> bool:
    return address.startswith("unix:")


def _host(address: str) -> str:
    return "unix" if _is_unix(address) else address.rpartition(":")[0].strip("[]")


def _is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach a host. A Unix socket is one."""
    if host in ("localhost", "unix"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
