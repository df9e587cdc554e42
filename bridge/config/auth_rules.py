"""Auth rules: what the options of credentials demand of one another."""

from typing import Final

from bridge.core.algorithms import SYMMETRIC
from bridge.core.origin import is_loopback

from .issuer_table import IssuerTable
from .options import Config
from .values import ListenAddress

_OF_JWT: Final = (
    *("jwt_keys", "jwt_ca", "jwt_issuer", "jwt_audience", "jwt_algorithms", "issuer"),
    *("claims_metadata", "revocations"),
)
"""Options that mean nothing unless the bridge verifies tokens."""


def broken_auth_rule(config: Config) -> str | None:
    """Return which rule the options break, for the operator; None: none."""
    reachable = [address for address in config.listen if not is_on_loopback(address)]
    if config.auth is None and reachable:
        return (
            f"--listen {reachable[0]}: others can reach it, so say who may come in. "
            "--auth forward: the tier judges credentials; --auth jwt: the bridge verifies tokens; "
            "--auth none: everybody"
        )
    if config.auth != "jwt":
        for key in _OF_JWT:
            if getattr(config, key):
                return f"--{key.replace('_', '-')} needs --auth jwt"
    elif broken := _broken_issuer_rule(config):
        return broken
    if config.auth == "none" and (config.auth_cookie or config.ticket_key):
        return "--auth none reads no credential: --auth-cookie and --ticket-key need another one"
    if config.admin_token and config.admin_listen is None:
        return "--admin-token needs --admin-listen: commands are taken there only"
    return _broken_names_rule(config)


def _broken_issuer_rule(config: Config) -> str | None:
    given = [key for key in ("jwt_keys", "jwt_issuer", "jwt_audience") if getattr(config, key)]
    if config.issuer and given:
        return f"--{given[0].replace('_', '-')}: with [[issuer]] tables each has its own"
    if not config.issuer and len(given) < 3:  # noqa: PLR2004 - all of them
        return "--auth jwt needs --jwt-keys, --jwt-issuer and --jwt-audience, or [[issuer]] tables"
    for table in issuers(config):
        if table.ca and not table.keys.startswith("https://"):
            return "--jwt-ca is for keys from an https URL"
        if table.keys.startswith("https://") and set(table.algorithms) & set(SYMMETRIC):
            return "--jwt-algorithms: a secret is never fetched from a URL"
    return None


def _broken_names_rule(config: Config) -> str | None:
    names = [name for _, name in config.claims_metadata]
    if len(set(names)) != len(names):
        return "--claims-metadata: two claims under one name"
    if "authorization" in names:
        return "--claims-metadata: authorization is the token's own name"
    for name in config.scope:
        if name not in (*config.forward_metadata, *names):
            return (
                f"--scope {name}: only what --forward-metadata or --claims-metadata names "
                "can be a scope"
            )
    return None


def issuers(config: Config) -> tuple[IssuerTable, ...]:
    """Return the issuers of tokens, however they were named."""
    if config.issuer or config.auth != "jwt":
        return config.issuer
    return (
        IssuerTable(
            config.jwt_issuer or "",
            config.jwt_audience,
            config.jwt_keys or "",
            config.jwt_ca,
            config.jwt_algorithms,
        ),
    )


def is_on_loopback(address: ListenAddress) -> bool:
    """Whether only this machine can reach an address."""
    return address.host == "localhost" or is_loopback(address.host)
