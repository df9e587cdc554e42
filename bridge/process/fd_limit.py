"""Descriptors: how many files this process may have open, and what that leaves for clients."""

import logging
import resource

logger = logging.getLogger(__name__)

RESERVE = 128
"""Kept from clients: the tier's channels, certificates, the event loop's own, the port itself."""
_PLENTY = 1 << 20


def raise_fd_limit() -> int:
    """Raise the soft limit to the hard one, as far as is sensible; returns what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _PLENTY if hard == resource.RLIM_INFINITY else min(hard, _PLENTY)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
        return wanted
    return _PLENTY if soft == resource.RLIM_INFINITY else soft


def connection_limits(connections: int) -> tuple[int, int]:
    """Return (sockets that clients may hold, streams that may be open), given `--max-connections`.

    0 connections is as many as there is room for. Says in the log when it is fewer than asked.
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
