"""Where a call comes from, as far as it can be believed."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

FORWARDED_HEADER = "x-forwarded-for"
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded: Sequence[str], trusted_proxies: Sequence[Network]) -> str:
    """Returns the peer, or the last untrusted hop of `x-forwarded-for` when the peer is a trusted proxy.

    Args:
        peer: The peer as gRPC names it, such as `ipv4:10.0.0.1:5000` or `unix:/run/x`.
        forwarded: The values of every `x-forwarded-for` header, in order.
        trusted_proxies: The networks whose word about the hop before them is believed.

    Returns:
        An IPv4 address, the /64 of an IPv6 address, or `unix`.
    """
    address = _peer_address(peer)
    if address is None:
        return "unix"
    for hop in reversed([part for value in forwarded for part in value.split(",")]):
        if not _trusted(address, trusted_proxies):
            break
        before = _parse(hop.strip())
        if before is None:
            break
        address = before
    return _printed(address)


def is_loopback(peer: str) -> bool:
    """Tells whether a peer, as gRPC names it, is on this machine."""
    address = _peer_address(peer)
    return address is None or address.is_loopback


@lru_cache(maxsize=4096)
def _peer_address(peer: str) -> Address | None:
    """Returns None for a peer without an address: a Unix socket."""
    family, _, rest = unquote(peer).partition(":")
    return _parse(rest.rpartition(":")[0].strip("[]")) if family in ("ipv4", "ipv6") else None


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _trusted(address: Address, trusted_proxies: Sequence[Network]) -> bool:
    return any(address in network for network in trusted_proxies)


def _printed(address: Address) -> str:
    return str(address) if isinstance(address, IPv4Address) else str(ip_network((address, 64), strict=False))
