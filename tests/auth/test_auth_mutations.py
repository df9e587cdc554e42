"""Whatever bytes a client sends for a credential: it is refused, and nothing else happens."""

import json
import math
import string
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.web.auth.base64url import decode_base64url, encode_base64url
from bridge.web.auth.key_set import parse_keys
from bridge.web.auth.key_store import KeyStore
from bridge.web.auth.revocations import Revocations, parse_revocation
from bridge.web.auth.settings import AuthMode, AuthSettings, IssuerSettings
from bridge.web.auth.tickets import Tickets
from bridge.web.auth.token_verifier import Issuer, TokenVerifier
from tokens import AUDIENCE, ISSUER, b64, claims, ed_key, jwks, rsa_key, token

KEYS = (rsa_key("a"), ed_key("b"))
ISSUERS = IssuerSettings(ISSUER, frozenset({AUDIENCE}), "keys")
SETTINGS = AuthSettings(mode=AuthMode.JWT, issuers=(ISSUERS,))
VERIFIER = TokenVerifier(
    SETTINGS,
    [Issuer(ISSUERS, KeyStore(None, first=parse_keys(jwks(*KEYS), ())))],
    clock=time.time,
)
GOOD = [token(key) for key in KEYS]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
CLAIM = st.sampled_from(["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "typ", "alg", "kid"])


def refused(work):
    with pytest.raises(Failed) as failure:
        work()
    assert failure.value.kind is Kind.UNAUTHENTICATED


def outcome(work):
    """What work returned, and the kind of its failure; one of them is None."""
    try:
        return work(), None
    except Failed as failure:
        return None, failure.kind


@settings(deadline=None)
@given(st.text(max_size=200) | st.text(string.ascii_letters + "._-=", max_size=200))
def test_any_text_is_no_token(text):
    refused(lambda: VERIFIER.verify(text))
    assert VERIFIER.keys_needed(text) is None


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(GOOD),
    st.integers(0, 2000),
    st.sampled_from(string.printable),
    st.integers(0, 2),
)
def test_a_token_with_one_character_changed_is_none(good, at, other, how):
    at %= len(good)
    changed = good[:at] + other * (how > 0) + good[at + (how < 2) :]
    if changed != good:
        refused(lambda: VERIFIER.verify(changed))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(CLAIM, JSON), st.sampled_from(KEYS))
def test_a_signed_header_of_any_content_is_judged_without_a_bug(header, key):
    text = f"{b64(json.dumps({'alg': key.algorithm, 'kid': key.kid, **header}))}.{b64(claims())}"
    text += "." + b64(key.sign(text.encode()))
    verified, kind = outcome(lambda: VERIFIER.verify(text))
    assert kind in (None, Kind.UNAUTHENTICATED)
    assert verified is None or header.get("alg", key.algorithm) == key.algorithm


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(CLAIM, JSON), st.sampled_from(KEYS))
def test_signed_claims_of_any_content_are_judged_without_a_bug(changed, key):
    text = token(key, raw=json.dumps({**claims(), **changed}))
    verified, kind = outcome(lambda: VERIFIER.verify(text))
    assert kind in (None, Kind.UNAUTHENTICATED)
    if verified is not None:
        assert verified.claims["iss"] == ISSUER
        assert 0 < len(verified.claims["sub"]) <= 255
        revocations = Revocations()
        revocations.say(parse_revocation(json.dumps({"sub": verified.claims["sub"]})), time.time())
        assert revocations.revoked(verified.claims) in (True, False)


@settings(deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: "lqt_" + b64(data)))
def test_any_text_is_no_ticket(text):
    refused(lambda: Tickets(b"k" * 32, time.time).redeem(text, None))


@settings(deadline=None)
@given(st.binary(max_size=100) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_any_body_is_a_revocation_or_refused(body):
    revocation, kind = outcome(lambda: parse_revocation(body))
    assert kind in (None, Kind.MALFORMED)
    assert revocation is None or revocation.names


@settings(deadline=None)
@given(JSON, st.sampled_from(["sub", "x", "iss"]))
@example(value=math.inf, name="sub")
@example(value=[math.nan], name="x")
def test_a_revocation_by_claim_means_the_tokens_that_have_it_and_no_others(value, name):
    text = json.dumps({"claims": {name: value}})
    revocation, kind = outcome(lambda: parse_revocation(text))
    if kind is not None:
        assert kind is Kind.MALFORMED
        with pytest.raises(ValueError, match="JSON compliant"):  # an infinity, or NaN
            json.dumps(value, allow_nan=False)
        return
    revocations = Revocations()
    revocations.say(revocation, 100.0)
    tree = json.loads(json.dumps(value))
    assert revocations.revoked({name: tree, "iat": 100})
    assert not revocations.revoked({name: tree, "iat": 101})
    assert revocations.revoked({name: tree})
    assert not revocations.revoked({name: [tree], "iat": 100})
    assert not revocations.revoked({})


@given(st.binary(max_size=40), st.text("ABQgwz09-_+/= \né", max_size=9))
def test_base64url_has_one_text_for_the_same_bytes(data, text):
    assert decode_base64url(encode_base64url(data)) == data
    try:
        read = decode_base64url(text)
    except ValueError:
        return
    assert encode_base64url(read) == text
