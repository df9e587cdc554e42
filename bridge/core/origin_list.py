"""OriginList: the origins that an operator lists, some with a wildcard for subdomains."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

WILDCARD: Final = "*."


@dataclass(frozen=True)
class OriginList:
    """Normalised origins, such as `https://app.example:443` and `https://*.example.com:443`.

    `origin in list` takes a normalised origin. A wildcard stands for one or more labels: it holds
    all subdomains of a name, and not the name itself.
    """

    entries: frozenset[str] = frozenset()

    @cached_property
    def _wildcards(self) -> tuple[tuple[str, str], ...]:
        """Of each entry with a wildcard: what its origins begin with, and what they end with."""
        split = (entry.split("*", 1) for entry in self.entries if WILDCARD in entry)
        return tuple((start, end) for start, end in split)

    @cached_property
    def _hosts(self) -> frozenset[str]:
        web = (entry for entry in self.entries if entry.startswith(("http:", "https:")))
        return frozenset(urlsplit(entry).hostname or "" for entry in web)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __contains__(self, origin: str) -> bool:
        if "*" in origin:
            return False
        return origin in self.entries or any(
            origin.startswith(start) and origin.endswith(end) and len(origin) > len(start + end)
            for start, end in self._wildcards
        )

    def has_host(self, host: str) -> bool:
        """Return whether a web origin of this host is listed, whatever its scheme and port."""
        return host_matches(host, self._hosts)


def host_matches(host: str, names: Iterable[str]) -> bool:
    """Return whether a host is one of some names. `*.example.com` are all its subdomains."""
    return any(
        host.endswith(name[1:]) and len(host) >= len(name)
        if name.startswith(WILDCARD)
        else host == name
        for name in names
        if "*" not in host
    )
