"""Addresses to which callbacks may go: public ones, and networks of a setting.

A program chooses the URL, and `web` can reach networks that programs must not. So a name is resolved first, each
address is checked, and the connection goes to the checked address, even if the name changes in between.
"""

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from countersign.domain.errors import InvalidInput

Address = IPv4Address | IPv6Address
Networks = frozenset[IPv4Network | IPv6Network]
_LONGEST: Final = 2000
_NAT64: Final = IPv6Network("64:ff9b::/96")
_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that is assigned to public hosts."""
_SPECIAL: Final = tuple(
    map(
        ip_network,
        (
            *("192.0.0.0/24", "192.88.99.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24"),
            *("2001::/23", "3fff::/20", "2620:4f:8000::/48"),
        ),
    )
)
"""Networks of IANA's special-purpose registries that some releases of Python 3.11 and later call global.

https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A callback's URL in parts; `path` begins with `/` and holds the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == {"https": 443, "http": 80}[self.scheme] else f"{name}:{self.port}"


def read(url: str, allowed: Networks) -> Target:
    """Read a callback's URL. InvalidInput if nothing could ever be posted there."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    except (ValueError, KeyError):
        raise InvalidInput("`callback_url` must be a URL that begins with https://.") from None
    if len(url) > _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput(f"`callback_url` can have at most {_LONGEST:,} characters, all ASCII.")
    if not parts.hostname or "@" in parts.netloc:
        raise InvalidInput("`callback_url` must have a host, and no user or password.")
    if parts.scheme == "http" and not allowed:
        raise InvalidInput("`callback_url` must begin with https://.")
    target = Target(
        parts.scheme, parts.hostname, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    )
    literal = _literal(target.host)
    if literal is not None and not may_reach(literal, allowed, plain=target.scheme == "http"):
        raise InvalidInput(
            f"`callback_url` leads to {target.host}, which isn't a public address. An administrator can allow its "
            "network with CALLBACK_NETWORKS."
        )
    return target


def host_of(url: str) -> str:
    """Return the host of a callback's URL, or ""."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


async def resolve(target: Target, allowed: Networks) -> Address | None:
    """Resolve the host to an address that may be reached; None if it has none.

    OSError if the name cannot be resolved.
    """
    answers = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [ip_address(entry[4][0]) for entry in answers]
    return next((address for address in addresses if may_reach(address, allowed, plain=target.scheme == "http")), None)


def may_reach(address: Address, allowed: Networks, *, plain: bool = False) -> bool:
    """Tell whether a callback may go to this address.

    `plain`: without TLS, as only `allowed` networks are reached.
    """
    address = _within(address)
    if any(address in network for network in allowed):
        return True
    if plain or not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    return not any(address in network for network in _SPECIAL)


def _within(address: Address) -> Address:
    """Return the IPv4 address embedded in an IPv6 address, if any."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
