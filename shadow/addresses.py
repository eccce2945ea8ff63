"""Which addresses a candidate may have: what was checked is what is connected to."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
# All that is routed: outside are site-local addresses, `::a.b.c.d` and a site's own NAT64.
_UNICAST = IPv6Network("2000::/3")
_MOST = 3  # a host with more addresses than this is tried at the first of them


class Refused(Exception):
    """A call that cannot be made or read; `word` says why, out of a closed set."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


async def resolve(host: str, port: int, private: bool) -> list[str]:
    """The addresses of a host, as numbers; raises Refused for one that is not public.

    One address that is not public refuses them all: a name that mixes them is no accident.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused("no_address") from None
    addresses = list(dict.fromkeys(str(where[0]) for *_, where in found))[:_MOST]
    if not private and not all(map(is_public, addresses)):
        raise Refused("private_address")
    return addresses


def is_public(address: str) -> bool:
    """Whether it is an address of the internet, also where it stands inside another."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inside = _inside(found)
    if isinstance(found, IPv6Address) and found not in _UNICAST and not inside:
        return False
    return all(one.is_global and not one.is_multicast for one in (found, *inside))


def _inside(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    held = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        held.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in held if one is not None]
