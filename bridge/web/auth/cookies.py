"""Cookies: one by its name, from the Cookie field of a request (RFC 6265 §5.4).

A name counts exactly: a browser takes a `__Host-` or `__Secure-` cookie only from the host that it
is for, and any parser that folds case, strips odd white space or unquotes names gives that away.
"""

from multidict import CIMultiDictProxy

from bridge.core.errors import Failed, Kind


def find_cookie(headers: CIMultiDictProxy[str], name: str) -> str | None:
    """Return a cookie's value; None where there is none, or an empty one.

    Raises:
        Failed: MALFORMED where there are two of that name, or two Cookie fields.

    """
    lines = headers.getall("Cookie", ())
    if len(lines) > 1:
        raise Failed(Kind.MALFORMED, "one Cookie field is enough", field="cookie")
    if not lines:
        return None
    pairs = [pair.strip(" \t").partition("=") for pair in lines[0].split(";")]
    values = [value for found, _, value in pairs if found == name]
    if len(values) > 1:
        raise Failed(Kind.MALFORMED, "the same cookie twice", field="cookie")
    return values[0] or None if values else None
