"""How the edge listens and what it allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from svoykrug_server.rpc.address import Network
from svoykrug_server.rpc.context import Locale

ChannelArgument = tuple[str, int]
MOST_WAITING = 10_000
"""How many calls may wait for the event loop to take them: what they hold meanwhile must have a bound."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """The server's certificate, as PEM files. They are read again when they change.

    Attributes:
        certificate: The chain, the server's own certificate first.
        key: Its private key.
        client_authorities: Who signs the certificates that clients must show; None asks for none.
    """

    certificate: Path
    key: Path
    client_authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class RpcOptions:
    """How the edge listens and what it allows. Every limit has the default of the design.

    Attributes:
        listen: Addresses such as `127.0.0.1:50051`; port 0 takes a free one.
        shares_ports: Whether other servers of this machine take calls on the same ports.
        tls: None serves plaintext.
        allow_plaintext: Allows plaintext on addresses other than loopback.
        max_message_bytes: The largest request or response message.
        max_metadata_bytes: The most metadata of a call; above half of it calls may be refused.
        max_calls: The most calls in progress in this process.
        max_calls_per_caller: The most calls in progress of one caller.
        max_calls_per_second_per_caller: How many calls one caller may begin in a second, in the long run.
        keepalive_seconds: How long a connection may be silent before it is asked whether it lives.
        min_ping_interval_seconds: A client that asks more often than this is disconnected.
        max_connection_age_seconds: How old a connection may get, so that clients spread over servers; None: any.
        drain_seconds: How long NOT_SERVING is announced before new calls are refused.
        grace_seconds: How long calls in progress may take to finish after that.
        oldest_client_versions: The oldest supported client version by platform.
        default_locale: The language of texts when the caller names none.
        trusted_proxies: The networks whose `x-forwarded-for` is believed.
        reflection: Whether anyone may ask for the contract.
        channelz: Whether callers on this machine may look at connections.
    """

    listen: tuple[str, ...] = ("127.0.0.1:50051",)
    shares_ports: bool = False
    tls: TlsOptions | None = None
    allow_plaintext: bool = False
    max_message_bytes: int = 4 * 1024 * 1024
    max_metadata_bytes: int = 16 * 1024
    max_calls: int = 2_000
    max_calls_per_caller: int = 100
    max_calls_per_second_per_caller: int = 100
    keepalive_seconds: float = 60.0
    min_ping_interval_seconds: float = 10.0
    max_connection_age_seconds: float | None = None
    drain_seconds: float = 0.0
    grace_seconds: float = 30.0
    oldest_client_versions: Mapping[str, str] = field(default_factory=dict)
    default_locale: Locale = "ru"
    trusted_proxies: tuple[Network, ...] = ()
    reflection: bool = True
    channelz: bool = False

    def channel_arguments(self) -> list[ChannelArgument]:
        """Returns the options as gRPC's core names them."""
        arguments = [
            # Unless it is meant, another server on the same port is an error to report, not one to share calls with.
            ("grpc.so_reuseport", int(self.shares_ports)),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_metadata_size", self.max_metadata_bytes // 2),
            ("grpc.absolute_max_metadata_size", self.max_metadata_bytes),
            ("grpc.keepalive_time_ms", _ms(self.keepalive_seconds)),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", _ms(self.min_ping_interval_seconds)),
            ("grpc.enable_channelz", int(self.channelz)),
            # Beyond 1,000 calls that the event loop has not taken yet gRPC itself ends some with a bare CANCELLED, like
            # a server that stops; clients repeat those soon. Let through, they are refused by our steps with RetryInfo.
            ("grpc.server.max_pending_requests", MOST_WAITING),
            ("grpc.server.max_pending_requests_hard_limit", MOST_WAITING),
        ]
        if self.max_connection_age_seconds is not None:
            arguments.append(("grpc.max_connection_age_ms", _ms(self.max_connection_age_seconds)))
            arguments.append(("grpc.max_connection_age_grace_ms", _ms(self.grace_seconds)))
        return arguments


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
