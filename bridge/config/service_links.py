"""Service links: variables that Kubernetes and Docker set, and that look like options by chance.

A Service called `bridge-metrics` puts `BRIDGE_METRICS_SERVICE_HOST` and its like into every pod of
its namespace (Kubernetes, "Accessing the Service"). A container that is linked as `bridge` gets
`BRIDGE_NAME` and `BRIDGE_ENV_…` (Docker, "Legacy container links").
"""

import difflib
import logging
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

logger = logging.getLogger(__name__)

_LINK: Final = re.compile(
    r"[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?|ENV_\w+)"
)
_PORT: Final = re.compile(r"[A-Z0-9_]+_PORT")
_PORT_VALUE: Final = re.compile(r"(tcp|udp)://.+")
_NAME: Final = re.compile(r"[A-Z0-9_]+_NAME")
_LIKE_AN_OPTION: Final = 0.85
"""Similarity from which a name is taken for a mistyped option (0 to 1)."""


def is_service_link(variable: str, value: str, options: Collection[str]) -> bool:
    """Return whether a variable is what only service links set. `options`: variables of options.

    `…_NAME` could also be an option that was mistyped: it is none if it looks like one, unless its
    value is a path, as Docker's are.
    """
    if _LINK.fullmatch(variable):
        return True
    if _PORT.fullmatch(variable):
        return _PORT_VALUE.fullmatch(value) is not None
    if not _NAME.fullmatch(variable):
        return False
    near = difflib.get_close_matches(variable, options, n=1, cutoff=_LIKE_AN_OPTION)
    return value.startswith("/") or not near


def log_service_links(environ: Mapping[str, str], prefix: str, options: Iterable[str]) -> None:
    """Log the variables of service links that begin with our prefix, in one line."""
    known = frozenset(options)
    links = sorted(
        variable
        for variable, value in environ.items()
        if variable.startswith(prefix)
        and variable not in known
        and value
        and is_service_link(variable, value, known)
    )
    if links:
        logger.info("passed over %d variables of service links: %s", len(links), ", ".join(links))
