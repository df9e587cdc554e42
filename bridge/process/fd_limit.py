"""Descriptor limit: how many files this process may open, and how many are left for clients."""

import logging
import resource

logger = logging.getLogger(__name__)

RESERVE = 128
"""Descriptors kept from clients: the tier's channels, certificates, the event loop, the port."""
_ENOUGH = 1 << 20


def raise_fd_limit() -> int:
    """Raise the soft limit to the hard one, at most to a million; returns the new soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
        return wanted
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def connection_limits(connections: int) -> tuple[int, int]:
    """Return the maximum of client sockets and of open streams, for a `--max-connections`.

    0 is as many streams as there may be sockets. Warns when the limit of open files allows fewer
    streams than asked for.
    """
    limit = raise_fd_limit()
    sockets = max(limit - RESERVE, limit // 2)
    if connections > sockets:
        logger.warning(
            "--max-connections %d is more than %d open files allow: %d it is; "
            "raise the hard limit (ulimit -Hn, LimitNOFILE=)",
            connections,
            limit,
            sockets,
        )
    return sockets, min(connections or sockets, sockets)
