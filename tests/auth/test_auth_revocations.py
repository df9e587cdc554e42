"""Revocations that were said are bounded: they lapse where that can be known, and never in silence."""

import json
import time

import pytest

from bridge.core.errors import Failed, Kind
from bridge.web.auth import revocations as module
from bridge.web.auth.authenticator import Authenticator
from bridge.web.auth.identities import Identities
from bridge.web.auth.revocations import Revocations, parse_revocation
from bridge.web.auth.settings import AuthMode, AuthSettings
from clients import QUERY
from tokens import bearer, token


def said(**claims):
    return parse_revocation(json.dumps({"claims": claims}))


def test_as_many_stand_as_may_and_one_more_is_refused_not_forgotten(monkeypatch):
    monkeypatch.setattr(module, "MAX_SAID", 3)
    revocations = Revocations()
    for name in "abc":
        revocations.say(said(sub=name), 10.0)
    with pytest.raises(Failed) as refused:
        revocations.say(said(sub="d"), 20.0)
    assert (refused.value.kind, refused.value.limit) == (Kind.QUOTA, "revocations")
    assert not revocations.revoked({"sub": "d", "iat": 1})
    assert all(revocations.revoked({"sub": name, "iat": 10}) for name in "abc")
    revocations.say(said(sub="a"), 20.0)  # one that stands is said again
    assert revocations.revoked({"sub": "a", "iat": 20})
    revocations.say(said(sub="a"), 5.0)
    assert revocations.revoked({"sub": "a", "iat": 20}), "an older word takes nothing back"


@pytest.mark.parametrize(("limit", "most"), [("MAX_SAID_SIZE", 100), ("MAX_SHAPES", 1)])
def test_their_size_and_their_shapes_are_bounded_too(monkeypatch, limit, most):
    monkeypatch.setattr(module, limit, most)
    revocations = Revocations()
    revocations.say(said(sub="x"), 1.0)
    with pytest.raises(Failed, match="too many"):
        revocations.say(said(tenant="y" * 100), 1.0)
    revocations.say(said(sub="x"), 2.0)


def test_one_lapses_when_every_token_that_it_can_mean_has_expired(monkeypatch):
    monkeypatch.setattr(module, "MAX_SAID", 2)
    revocations = Revocations()
    revocations.say(said(jti="one"), 10.0, 50.0)
    revocations.say(said(sub="a"), 10.0)
    with pytest.raises(Failed):
        revocations.say(said(sub="b"), 49.0)
    revocations.say(said(sub="b"), 50.0)
    assert not revocations.revoked({"jti": "one", "iat": 1})
    assert revocations.revoked({"sub": "a", "iat": 1})
    with pytest.raises(Failed):  # of a subject it is not known
        revocations.say(said(sub="c"), 1e9)


async def test_what_is_known_is_the_end_of_a_token_with_a_stream_and_of_an_exp():
    settings = AuthSettings(mode=AuthMode.JWT, leeway=30.0)
    authenticator = Authenticator(settings, Identities((), None), clock=lambda: 0.0)
    assert authenticator.lapses(said(exp=100, tenant="t")) == 130
    for unknown in (said(sub="a"), said(tenant="t"), said(jti="one"), said(exp="soon")):
        assert authenticator.lapses(unknown) is None


async def test_an_operator_is_told_that_too_many_stand(
    start_jwt, tier, http, ways, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "MAX_SAID", 2)
    operator = tmp_path / "admin.token"
    operator.write_text("word")
    bridge = await start_jwt(admin_listen="127.0.0.1:0", admin_token=str(operator))
    tier.rows = ["a"]
    url = bridge._admin.url + "/admin/revoke"

    async def revoke(**word):
        async with http.post(url, data=json.dumps(word), headers=bearer("word")) as answer:
            return answer.status, await answer.text()

    alice = token(jti="one", exp=int(time.time()) + 100, iat=None)
    stream = await http.post(bridge.base, data=json.dumps(QUERY), headers=bearer(alice))
    assert stream.status == 200
    assert await revoke(sub="bob") == (200, '{"ended":0}')
    assert await revoke(jti="one") == (200, '{"ended":1}')
    [ends] = bridge.context.authenticator.revocations._lapses.values()
    assert ends == pytest.approx(time.time() + 130, abs=30)
    status, text = await revoke(sub="carol")
    assert (status, json.loads(text)["code"]) == (429, "RESOURCE_EXHAUSTED")
    assert "--revocations" in json.loads(text)["detail"]
    carol = [("Authorization", f"Bearer {token(sub='carol', iat=1)}")]
    assert await ways.status(bridge, headers=carol) == 200
    assert bridge.context.stream_log.limited["revocations",] == 1
    stream.close()
