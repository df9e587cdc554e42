"""Attacks by token: none is accepted, each is answered 401, and none is told to the tier."""

import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives import serialization
from multidict import CIMultiDict

from tokens import (
    AUDIENCE,
    ISSUER,
    Key,
    b64,
    bearer,
    claims,
    ec_key,
    ed_key,
    jwks,
    rsa_key,
    secret_key,
    token,
)

GOOD = rsa_key("k1")
OTHER = Key("RS256", rsa_key("stranger").private, "k1")
"""A stranger's key under the issuer's name for its own."""
EC, ED = ec_key("k2"), ed_key("k3")


def forged(key_bytes, header=None, **changed):
    """Sign with HMAC, with some bytes that everybody can know as the secret."""
    return token(Key("HS256", key_bytes, "k1"), header, **changed)


def raw_token(header, payload, key=GOOD):
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


def altered(text, **changed):
    header, payload, signature = text.split(".")
    del payload
    return f"{header}.{b64(claims(**changed))}.{signature}"


def flipped(text):
    return text[:-20] + ("A" if text[-20] != "A" else "B") + text[-19:]


def text_claims(**changed):
    return json.dumps(claims(**changed))


NOW = int(time.time())
DER = GOOD.private.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
HMAC_OF_NOTHING = b64(hmac.digest(b"", b"", hashlib.sha256))

ATTACKS = {
    # no signature
    "alg none": f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(claims())}.",
    "alg None": f"{b64({'alg': 'None', 'kid': 'k1'})}.{b64(claims())}.",
    "alg none with a signature": token(GOOD, {"alg": "none"}),
    "no alg": token(GOOD, {"alg": None}),
    "alg null": raw_token('{"alg":null,"kid":"k1"}', claims()),
    "alg a list": token(GOOD, {"alg": ["RS256"]}),
    "alg empty": token(GOOD, {"alg": ""}),
    "signature left out": token(GOOD).rpartition(".")[0] + ".",
    "signature of another token": altered(token(GOOD), sub="mallory"),
    "signature changed": flipped(token(GOOD)),
    # confusion of algorithms
    "HS256 with the PEM as the secret": forged(GOOD.pem),
    "HS256 with the PEM less its last newline": forged(GOOD.pem.strip()),
    "HS256 with the DER as the secret": forged(DER),
    "HS256 with the modulus as the secret": forged(GOOD.jwk["n"].encode()),
    "HS256 with an empty secret": forged(b""),
    "HS256 with the JWK as the secret": forged(json.dumps(GOOD.jwk).encode()),
    "RS256 signature named RS512": token(GOOD, {"alg": "RS512"}),
    "RS256 signature named PS256": token(GOOD, {"alg": "PS256"}),
    "an EC key's kid on an RSA signature": token(GOOD, {"kid": "k2"}),
    "ES256 with r and s of zero": f"{b64({'alg': 'ES256', 'kid': 'k2'})}.{b64(claims())}.{b64(bytes(64))}",
    "EdDSA with a signature of zeros": f"{b64({'alg': 'EdDSA', 'kid': 'k3'})}.{b64(claims())}.{b64(bytes(64))}",
    # other keys
    "a stranger's key": token(OTHER),
    "an unknown kid": token(Key("RS256", GOOD.private, "k9")),
    "no kid where there are several keys": token(Key("RS256", GOOD.private)),
    "kid a number": token(GOOD, {"kid": 1}),
    "kid a path": token(GOOD, {"kid": "../../../dev/null"}),
    "kid an injection": token(GOOD, {"kid": "k1' OR '1'='1"}),
    "jku": token(OTHER, {"jku": "https://evil.example/jwks.json"}),
    "jku, signed by the issuer": token(GOOD, {"jku": "https://evil.example/jwks.json"}),
    "x5u": token(OTHER, {"x5u": "https://evil.example/x.pem"}),
    "jwk": token(OTHER, {"jwk": OTHER.jwk}),
    "x5c": token(OTHER, {"x5c": ["MIIB"]}),
    # header parameters
    "crit": token(GOOD, {"crit": ["exp"]}),
    "crit empty": token(GOOD, {"crit": []}),
    "b64 false, critical": token(GOOD, {"b64": False, "crit": ["b64"]}),
    "typ of another kind": token(GOOD, {"typ": "dpop+jwt"}),
    "typ of an id token's logout": token(GOOD, {"typ": "logout+jwt"}),
    "typ a number": token(GOOD, {"typ": 1}),
    # claims
    "another issuer": token(GOOD, iss="https://evil.example/"),
    "the issuer less its slash": token(GOOD, iss=ISSUER.rstrip("/")),
    "no issuer": token(GOOD, iss=None),
    "a list of issuers": token(GOOD, iss=[ISSUER]),
    "another audience": token(GOOD, aud="other"),
    "an audience that begins alike": token(GOOD, aud=AUDIENCE + "-admin"),
    "no audience": token(GOOD, aud=None),
    "an empty list of audiences": token(GOOD, aud=[]),
    "an audience that is an object": token(GOOD, aud={AUDIENCE: True}),
    "no subject": token(GOOD, sub=None),
    "an empty subject": token(GOOD, sub=""),
    "a subject of spaces": token(GOOD, sub=" "),
    "a subject with a line break": token(GOOD, sub="a\r\nx-admin: 1"),
    "a subject with NUL": token(GOOD, sub="alice\0"),
    "a subject beyond ASCII": token(GOOD, sub="alicé"),
    "a subject that is a number": token(GOOD, sub=7),
    "no exp": token(GOOD, exp=None),
    "exp null": token(GOOD, raw=text_claims(exp=7).replace('"exp": 7', '"exp": null')),
    "exp passed": token(GOOD, exp=NOW - 120),
    "exp a text": token(GOOD, exp=str(NOW + 3600)),
    "exp true": token(GOOD, exp=True),
    "exp NaN": token(GOOD, exp=float("nan")),
    "exp Infinity": token(GOOD, exp=float("inf")),
    "exp beyond a double": token(GOOD, raw=text_claims(exp=7).replace('"exp": 7', '"exp": 1e999')),
    "exp of 2^53": token(GOOD, exp=2**53),
    "exp of 5,000 digits": token(GOOD, raw=text_claims(exp=7).replace(" 7", " " + "9" * 5000)),
    "exp a list": token(GOOD, exp=[NOW + 3600]),
    "nbf to come": token(GOOD, nbf=NOW + 3600),
    "nbf a text": token(GOOD, nbf="0"),
    "nbf NaN": token(GOOD, nbf=float("nan")),
    "iat to come": token(GOOD, iat=NOW + 3600),
    "iat a text": token(GOOD, iat="yesterday"),
    # form
    "a claim twice": token(GOOD, raw=text_claims()[:-1] + ', "sub": "mallory"}'),
    "exp twice": token(GOOD, raw=text_claims(exp=1)[:-1] + f', "exp": {NOW + 3600}}}'),
    "a name of the header twice": raw_token(
        '{"alg":"RS256","kid":"k1","alg":"RS256"}', claims()
    ),
    "a nested claim twice": token(GOOD, raw=text_claims()[:-1] + ', "r": {"a": 1, "a": 2}}'),
    "claims that are a list": token(GOOD, raw="[1]"),
    "claims that are no JSON": token(GOOD, raw=text_claims()[:-1]),
    "claims that are not UTF-8": token(GOOD, raw=b'{"sub":"\xff"}'),
    "claims with a lone surrogate": token(GOOD, raw=text_claims()[:-1] + ', "x": "\\ud800"}'),
    "claims nested 40 deep": token(GOOD, pad=json.loads("[" * 40 + "]" * 40)),
    "a claim beyond a double": token(GOOD, raw=text_claims(x=7).replace('"x": 7', '"x": -1e400')),
    "claims nested 4,000 deep": token(GOOD, raw="[" * 4000),
    "a header that is a list": raw_token("[]", claims()),
    "a byte order mark": token(GOOD, raw=b"\xef\xbb\xbf" + text_claims().encode()),
    "JSON after the JSON": token(GOOD, raw=text_claims() + "{}"),
    "two parts": token(GOOD).rpartition(".")[0],
    "four parts": token(GOOD) + ".x",
    "five parts, as if encrypted": "a.b.c.d.e",
    "an empty token": "",
    "only dots": "..",
    "padding": ".".join(part + "=" for part in token(GOOD).split(".")),
    "plain base64": token(GOOD).replace("-", "+").replace("_", "/") + "+",
    "a space within": token(GOOD)[:40] + " " + token(GOOD)[40:],
    "two tokens": token(GOOD) + " " + token(GOOD),
    "a comma and another": token(GOOD) + ", Bearer " + token(GOOD),
    "a huge token": token(GOOD, pad="x" * 7000),
    "unused bits set": token(ED)[:-1] + chr(ord(token(ED)[-1]) + 1),
}  # fmt: skip


@pytest.fixture
async def bridge(start_jwt, tmp_path):
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(GOOD, EC, ED))
    return await start_jwt(jwt_keys=str(path))


def test_there_are_more_than_forty():
    assert len(ATTACKS) > 80


async def test_no_attack_is_accepted_and_none_reaches_the_tier(bridge, tier, ways):
    tier.rows = ["a"]
    answers = {}
    for name, text in ATTACKS.items():
        headers = [("Authorization", f"Bearer {text}")]
        answers[name] = await ways.status(bridge, headers=headers)
    # It is longer than a header field may be: whatever it holds, the request is malformed.
    assert answers.pop("a huge token") == 400
    assert {name: status for name, status in answers.items() if status != 401} == {}
    assert tier.opened == 0


async def test_no_attack_is_accepted_on_a_socket(bridge, tier, ways):
    tier.rows = ["a"]
    answers = {}
    for name, text in ATTACKS.items():
        if "\0" not in text and name != "a huge token":
            answers[name] = await ways.close_code(bridge, headers=bearer(text))
    assert {name: code for name, code in answers.items() if code != 4501} == {}
    assert tier.opened == 0


async def test_no_attack_is_accepted_as_the_first_message_of_a_v1_socket(bridge, tier, ways):
    tier.rows = ["a"]
    answers = {}
    for name, text in ATTACKS.items():
        async with ways.socket(bridge, v1=True) as ws:
            await ws.send_json({"action": "authenticate", "token": text or "."})
            await ws.receive()
            answers[name] = ws.close_code
    assert {name: code for name, code in answers.items() if code != 4501} == {}
    assert tier.opened == 0


@pytest.mark.parametrize(
    "text",
    [
        token(GOOD),
        token(EC),
        token(ED),
        token(GOOD, {"typ": None}),
        token(GOOD, {"typ": "at+jwt"}),
        token(GOOD, {"typ": "application/AT+JWT"}),
        token(GOOD, {"x5t": "abc", "cty": "JWT"}),
        token(GOOD, aud=["other", AUDIENCE]),
        token(GOOD, iat=None),
        token(GOOD, exp=NOW + 3600.5, nbf=NOW - 0.5),
        token(GOOD, exp=2**53 - 1),
        token(GOOD, iat=NOW + 10),
        token(GOOD, raw=text_claims(note="ü \U0001f600")),
    ],
)
async def test_a_token_that_is_in_order_is_accepted(bridge, tier, ways, text):
    tier.rows = ["a"]
    assert await ways.status(bridge, headers=[("Authorization", f"Bearer {text}")]) == 200
    assert await ways.status(bridge, headers=[("authorization", f"bearer  {text}")]) == 200
    async with ways.socket(bridge, v1=True) as ws:
        await ws.send_json({"action": "authenticate", "token": text})
        assert json.loads((await ws.receive()).data)["type"] == "authenticated"


async def test_clocks_may_differ_by_the_leeway(bridge, start_jwt, tier, ways):
    tier.rows = ["a"]
    headers = [("Authorization", f"Bearer {token(rsa_key(), exp=int(time.time()) - 5)}")]
    assert await ways.status(await start_jwt(), headers=headers) == 200
    assert await ways.status(await start_jwt(jwt_leeway="0"), headers=headers) == 401


@pytest.mark.parametrize("parts", [False, True], ids=["fast path", "aiohttp"])
async def test_two_credentials_of_one_source_are_malformed(bridge, tier, ways, parts):
    tier.rows = ["a"]
    good = ("Authorization", f"Bearer {token(GOOD)}")
    assert await ways.status(bridge, headers=[good, good], parts=parts) == 400
    target = "?ticket=a&ticket=b"
    assert await ways.status(bridge, headers=[good], target=target, parts=parts) == 400
    assert tier.opened == 0


@pytest.mark.parametrize("v1", [False, True])
async def test_two_credentials_of_one_source_close_a_socket_with_4500(bridge, tier, ways, v1):
    good = ("Authorization", f"Bearer {token(GOOD)}")
    for headers, target in (([good, good], ""), ([good], "?ticket=a&ticket=b")):
        async with ways.socket(bridge, v1=v1, headers=CIMultiDict(headers), target=target) as ws:
            await ws.receive()
            assert ws.close_code == 4500
    assert tier.opened == 0


@pytest.mark.parametrize("name", ["access_token", "token", "id_token", "jwt"])
@pytest.mark.parametrize("parts", [False, True], ids=["fast path", "aiohttp"])
async def test_a_token_in_a_url_is_refused_even_beside_a_good_one(bridge, tier, ways, name, parts):
    tier.rows = ["a"]
    target = f"?{name}={token(GOOD)}"
    good = [("Authorization", f"Bearer {token(GOOD)}")]
    for headers in ([], good):
        status = await ways.status(bridge, headers=headers, target=target, parts=parts)
        assert status == 401
    assert await ways.close_code(bridge, target=target) == 4501
    assert tier.opened == 0


async def test_a_token_is_no_ticket(bridge, tier, ways):
    assert await ways.status(bridge, target=f"?ticket={token(GOOD)}") == 401
    assert await ways.close_code(bridge, target=f"?ticket={token(GOOD)}") == 4501
    assert tier.opened == 0


async def test_another_scheme_is_no_token(bridge, ways):
    basic = [("Authorization", "Basic YWxpY2U6c2VjcmV0")]
    assert await ways.status(bridge, headers=basic) == 401


async def test_a_secret_is_used_only_where_it_is_said_to_be_one(start_jwt, tier, ways, tmp_path):
    tier.rows = ["a"]
    key = secret_key(kid="s")
    file = tmp_path / "secret"
    file.write_bytes(key.private + b"\n")
    text = [("Authorization", f"Bearer {token(key)}")]
    by_name = await start_jwt(jwt_keys=f"secret:{file}")
    assert await ways.status(by_name, headers=text) == 200
    file.write_bytes(jwks(key, GOOD))
    by_kind = await start_jwt(jwt_keys=str(file))
    assert await ways.status(by_kind, headers=text) == 200
    only = await start_jwt(jwt_keys=str(file), jwt_algorithms="RS256")
    assert await ways.status(only, headers=text) == 401


async def test_other_types_are_accepted_by_option(start_jwt, tier, ways, keys_file):
    tier.rows = ["a"]
    text = [("Authorization", f"Bearer {token(header={'typ': 'secevent+jwt'})}")]
    assert await ways.status(await start_jwt(), headers=text) == 401
    bridge = await start_jwt(jwt_types="JWT,secevent+jwt")
    assert await ways.status(bridge, headers=text) == 200


async def test_each_of_several_issuers_signs_for_itself_alone(start_jwt, tier, ways, tmp_path):
    tier.rows = ["a"]
    one, two = rsa_key("one"), ec_key("two")
    tables = []
    for key in (one, two):
        (tmp_path / key.kid).write_bytes(jwks(key))
        table = {"issuer": key.kid, "audience": key.kid, "keys": str(tmp_path / key.kid)}
        tables.append(table)
    bridge = await start_jwt(jwt_keys=None, jwt_issuer=None, jwt_audience=None, issuer=tables)

    async def status(key, name, audience):
        text = token(key, iss=name, aud=audience)
        return await ways.status(bridge, headers=[("Authorization", f"Bearer {text}")])

    assert await status(one, "one", "one") == 200
    assert await status(two, "two", "two") == 200
    assert await status(one, "two", "two") == 401
    assert await status(Key("RS256", one.private, "two"), "two", "two") == 401
    assert await status(one, "one", "two") == 401
    assert await status(one, "three", "one") == 401
