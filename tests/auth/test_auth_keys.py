"""Keys of an issuer: rotated, gone, late or nonsense, and nobody valid is lost."""

import asyncio
import json
import os

import pytest
from key_server import KeyServer

from bridge.web.auth.key_set import parse_keys, parse_secret
from bridge.web.auth.key_store import KeyStore
from bridge.web.auth.verification_key import BadKey
from clients import QUERY
from patience import patiently
from tokens import Key, bearer, ec_key, ed_key, jwks, rsa_key, secret_key, token

A, B, C = ec_key("a"), ec_key("b"), ec_key("c")


# ------------------------------------------------------------ a store and its source


class Source:
    """A source whose next reads are the test's."""

    interval = 300.0

    def __init__(self, *keys):
        self.keys, self.reads, self.gate = keys, 0, None

    async def read(self):
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if not self.keys:
            raise BadKey("the server is down")
        return parse_keys(jwks(*self.keys), ())


class Store(KeyStore):
    def knows(self, key):
        return self.current is not None and bool(self.current.candidates(key.kid))

    async def asked(self):
        waiting = self.read_for_unknown()
        if waiting is None:
            return False
        await asyncio.wait([waiting])
        return True


@pytest.fixture
def store():
    times = [0.0]
    source = Source(A)
    made = Store(source, clock=lambda: times[0])
    made.source, made.times = source, times
    return made


async def test_an_unknown_key_asks_once_in_half_a_minute_and_the_first_load_does_not_count(store):
    assert await store.asked()
    assert store.knows(A)
    store.source.keys = (A, B)
    assert await store.asked()
    assert store.knows(B)
    store.times[0] = 29.9
    assert not await store.asked()
    assert store.source.reads == 2
    store.times[0] = 30.0
    store.source.keys = (C,)
    assert await store.asked()
    assert store.knows(C)
    assert not store.knows(A), "a key gone from the next good set is refused"


async def test_one_read_is_shared_by_all_who_wait(store):
    store.source.gate = asyncio.Event()
    waiting = [asyncio.create_task(store.asked()) for _ in range(50)]
    await asyncio.sleep(0)
    store.source.gate.set()
    assert all(await asyncio.gather(*waiting))
    assert store.source.reads == 1


async def test_the_last_good_set_outlives_an_outage(store):
    await store.asked()
    store.source.keys = ()
    assert await store.asked()
    assert store.knows(A)
    assert store.failing
    store.times[0] = 1000.0
    store.source.keys = (A, B)
    assert await store.asked()
    assert store.knows(B)
    assert not store.failing


async def test_a_store_without_keys_is_read_until_it_has_some_and_may_always_be_asked(store):
    store.source.keys = ()
    for reads in (1, 2, 3):
        assert await store.asked()
        assert store.source.reads == reads
    store.source.keys = (A,)
    await store.asked()
    assert store.knows(A)


async def test_a_set_that_did_not_change_is_no_new_one(store):
    await store.asked()
    changes = []
    store.on_changed.append(lambda: changes.append(store.current))
    await store.asked()
    assert not changes


# ------------------------------------------------------------ sets


@pytest.mark.parametrize("key", [rsa_key(), ec_key(), ed_key()], ids=lambda key: key.algorithm)
def test_a_pem_and_a_jwk_of_one_key_verify_the_same(key):
    for data in (key.pem, b"# a comment\n" + key.pem, jwks(key), json.dumps(key.jwk).encode()):
        [found] = parse_keys(data, ()).candidates("any")
        assert found.algorithms == {key.algorithm}
        assert found.verifies(key.algorithm, b"x", key.sign(b"x"))
        assert not found.verifies(key.algorithm, b"y", key.sign(b"x"))
        assert not found.verifies(key.algorithm, b"x", b"")


def test_a_certificate_is_a_key(authority):
    cert, _ = authority.issue("one", 1)
    with open(cert, "rb") as file:
        [found] = parse_keys(file.read(), ()).candidates(None)
    assert found.algorithms == {"ES256"}


def test_several_pems_may_be_there_while_keys_rotate():
    keys = parse_keys(rsa_key().pem + ec_key().pem, ())
    assert len(keys.candidates(None)) == len(keys.candidates("x")) == 2


def test_a_kid_may_be_absent_where_there_is_one_key():
    assert parse_keys(jwks(A), ()).candidates(None)
    assert not parse_keys(jwks(A, B), ()).candidates(None)
    assert not parse_keys(jwks(A), ()).candidates("b")


@pytest.mark.parametrize(
    "extra",
    [
        {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB", "kid": "x"},
        {"kty": "EC", "crv": "P-256K", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "oct", "k": "c2hvcnQ"},
        {"kty": "oct"},
        {"kty": "AKP", "alg": "ML-DSA-44"},
        {"kty": ["EC"]},
        {**ed_key().jwk, "key_ops": ["sign"]},
        {**ed_key().jwk, "alg": "RS256"},
        "text",
        None,
    ],
)
def test_what_a_set_has_beside_usable_keys_is_passed_over(extra):
    data = json.dumps({"keys": [extra, A.jwk]}).encode()
    assert len(parse_keys(data, ()).candidates("a")) == 1
    with pytest.raises(BadKey):
        parse_keys(json.dumps({"keys": [extra]}).encode(), ())


def test_no_secret_comes_over_a_network():
    data = jwks(secret_key())
    assert parse_keys(data, ()).candidates(None)
    with pytest.raises(BadKey):
        parse_keys(data, (), remote=True)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", b'{"keys":{}}', b'{"keys":[]}', b"<html>", b"\xff\xfe",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"-----BEGIN",
        b"[" * 100_000, json.dumps({"keys": [A.jwk] * 101}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_set_is_refused(data):
    with pytest.raises(BadKey):
        parse_keys(data, ())


def test_weak_keys_and_private_ones_are_refused():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    weak = Key("RS256", rsa.generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505
    with pytest.raises(BadKey, match="2048"):
        parse_keys(weak.pem, ())
    with pytest.raises(BadKey):
        parse_keys(jwks(weak), ())
    with pytest.raises(BadKey, match="32"):
        parse_secret(b"short", ())
    private = A.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(BadKey, match="private"):
        parse_keys(private, ())


def test_nothing_that_everybody_may_know_is_taken_for_a_secret():
    """Else whoever has the public key could sign with it (RFC 8725 §2.1)."""
    from cryptography.hazmat.primitives import serialization

    public = rsa_key().private.public_key()
    form = serialization.PublicFormat
    for text in (
        rsa_key().pem,
        b"# a comment\n" + ec_key().pem,
        public.public_bytes(serialization.Encoding.DER, form.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.OpenSSH, form.OpenSSH),
        json.dumps(rsa_key().jwk).encode(),
        b" " + jwks(rsa_key(), ec_key()),
    ):
        with pytest.raises(BadKey):
            parse_secret(text, ())
        with pytest.raises(BadKey):
            parse_keys(jwks(secret_key(text)), ())
    assert parse_secret(b"ssh-like words, yet a secret of 32 bytes", ()).candidates(None)


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "EC", "crv": "P-256", "x": ec_key().jwk["x"], "y": ec_key("other").jwk["y"]},
        {"kty": "EC", "crv": "P-384", "x": ec_key().jwk["x"], "y": ec_key().jwk["y"]},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {**rsa_key().jwk, "e": "AQ"},
        {**rsa_key().jwk, "e": "Ag"},
        {**rsa_key().jwk, "n": rsa_key().jwk["n"][:86]},
        {**rsa_key().jwk, "n": "AA"},
        {**rsa_key().jwk, "alg": "ES256"},
        {**ec_key().jwk, "alg": "RS256"},
        {**ec_key().jwk, "alg": "HS256"},
        {**ec_key().jwk, "kty": "RSA"},
        {**rsa_key().jwk, "kty": "EC"},
        {**ed_key().jwk, "crv": "X25519"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "n": 7, "e": 7},
    ],
)
def test_a_key_that_is_none_verifies_nothing(jwk):
    with pytest.raises(BadKey):
        parse_keys(json.dumps({"keys": [jwk]}).encode(), ())


# ------------------------------------------------------------ served


@pytest.fixture
async def server(authority):
    server = await KeyServer(*authority.issue("keys", 1)).start()
    server.serves(A)
    yield server
    await server.stop()


@pytest.fixture
def start_remote(start_jwt, server, authority, tier):
    tier.rows = ["a"]

    async def start(**more):
        return await start_jwt(**{"jwt_keys": server.url, "jwt_ca": authority.ca, **more})

    return start


@pytest.fixture
def status(ways):
    async def status(bridge, key, **more):
        headers = [("Authorization", f"Bearer {token(key)}")]
        return await ways.status(bridge, headers=headers, **more)

    return status


async def test_keys_are_fetched_once_for_all_and_rotate_without_a_refusal(
    start_remote, server, status, ways
):
    bridge = await start_remote(max_connections_per_identity="0")
    assert await asyncio.gather(*(status(bridge, A) for _ in range(30))) == [200] * 30
    assert server.asked == 1
    server.serves(A, B)
    answers = await asyncio.gather(*(status(bridge, key) for key in (A, B) for _ in range(20)))
    assert answers == [200] * 40
    assert server.asked == 2
    # Now nobody can have it ask again.
    strangers = await asyncio.gather(*(status(bridge, ec_key(f"x{n}")) for n in range(10)))
    assert strangers == [401] * 10
    assert server.asked == 2
    assert await ways.close_code(bridge, headers=bearer(token(C))) == 4501


def unnamed(key):
    return Key(key.algorithm, key.private)


@pytest.mark.parametrize("token_names_it", [False, True])
async def test_a_key_without_a_name_that_replaces_another_is_read_like_an_unknown_one(
    start_remote, server, status, token_names_it
):
    one, two, three = [unnamed(ec_key(name)) for name in "def"]
    server.serves(one)
    bridge = await start_remote()
    as_signed = (lambda key: Key("ES256", key.private, "x")) if token_names_it else unnamed
    assert await status(bridge, as_signed(one)) == 200
    server.serves(two)
    asked = server.asked
    assert await status(bridge, as_signed(two)) == 200
    assert await status(bridge, as_signed(one)) == 401, "it is gone from the set"
    for _ in range(5):
        assert await status(bridge, as_signed(three)) == 401
    assert server.asked == asked + 1, "once in 30 s"


async def test_the_only_key_that_tokens_need_not_name_may_be_replaced(start_remote, server, status):
    bridge = await start_remote()
    assert await status(bridge, unnamed(A)) == 200
    server.serves(B)
    assert await status(bridge, unnamed(B)) == 200
    assert await status(bridge, unnamed(A)) == 401


async def test_a_wrong_signature_under_a_name_that_is_known_has_nothing_read(
    start_remote, server, status
):
    bridge = await start_remote()
    assert await status(bridge, A) == 200
    asked = server.asked
    for _ in range(3):
        assert await status(bridge, Key("ES256", B.private, "a")) == 401
    assert server.asked == asked


@pytest.mark.parametrize("answer", [301, 302, 307])
async def test_a_redirect_of_a_key_server_is_not_followed(start_remote, server, status, answer):
    bridge = await start_remote()
    assert await status(bridge, A) == 200
    server.answer = answer
    asked = server.asked
    assert await status(bridge, B) == 503, "the read failed: the token may be right"
    assert server.asked == asked + 1
    assert await status(bridge, A) == 200


async def test_both_ways_of_reading_wait_for_a_key_that_is_new(start_remote, server, status, http):
    bridge = await start_remote()
    assert await status(bridge, A) == 200
    server.serves(A, B)
    assert await status(bridge, B, parts=True) == 200
    assert server.asked == 2


async def test_an_outage_and_nonsense_lose_nobody_valid(start_remote, server, status):
    bridge = await start_remote()
    assert await status(bridge, A) == 200
    for bad in (b"<html>", b"{}", b'{"keys":[]}', 500, 404, 302, b"x" * 2_000_000, b""):
        server.answer = bad
        store = bridge.context.authenticator.key_stores[0]
        await store._read()
        assert store.failing
        assert await status(bridge, A) == 200
    await server.stop()
    await store._read()
    assert await status(bridge, A) == 200
    # Whether this one is valid nobody can say now: come again.
    assert await status(bridge, B) == 503
    server.serves(B)
    await server.start()
    await store._read()
    assert await status(bridge, B) == 200
    assert await status(bridge, A) == 401
    assert 'key_reads_total{outcome="failed"} ' in bridge.metrics.exposition().decode()


async def test_a_slow_server_keeps_nobody_waiting_whose_key_is_known(
    start_remote, server, status, http
):
    bridge = await start_remote()
    assert await status(bridge, A) == 200
    server.answer = server.never
    stranger = asyncio.create_task(
        http.post(bridge.base, data=json.dumps(QUERY), headers=bearer(token(B)))
    )
    await asyncio.sleep(0.1)
    assert await status(bridge, A) == 200
    assert not stranger.done()
    async with patiently(10):
        answer = await stranger
    assert answer.status == 503
    assert "Retry-After" in answer.headers


async def test_a_client_that_leaves_while_a_key_is_fetched_is_forgotten(
    start_remote, server, status, http, tier
):
    bridge = await start_remote()
    assert await status(bridge, A) == 200
    opened = tier.opened
    gate = asyncio.Event()

    async def late():
        await gate.wait()
        return jwks(A, B)

    server.answer = late
    stranger = asyncio.create_task(
        http.post(bridge.base, data=json.dumps(QUERY), headers=bearer(token(B)))
    )
    while bridge.context.admission.open == 0:
        await asyncio.sleep(0.01)
    stranger.cancel()
    while bridge.context.admission.open:
        await asyncio.sleep(0.01)
    gate.set()
    assert await status(bridge, B) == 200
    assert tier.opened == opened + 1 or tier.opened == opened


async def test_a_bridge_without_keys_yet_is_not_ready_and_asks_to_come_again(
    start_remote, server, status, http
):
    server.answer = 503
    bridge = await start_remote()
    assert await status(bridge, A) == 503
    async with http.get(bridge.url + "/readyz") as answer:
        assert answer.status == 503
        assert "no keys to verify tokens" in (await answer.json())["reasons"]
    server.serves(A)
    async with patiently(10):
        while await status(bridge, A) != 200:
            await asyncio.sleep(0.1)
    async with http.get(bridge.url + "/readyz") as answer:
        assert answer.status == 200


async def test_a_key_server_that_can_not_show_who_it_is_is_not_believed(start_jwt, server, status):
    bridge = await start_jwt(jwt_keys=server.url)
    assert await status(bridge, A) == 503


async def test_a_file_of_keys_is_read_again_when_it_changes(
    start_jwt, tier, status, tmp_path, monkeypatch
):
    monkeypatch.setattr("bridge.web.auth.key_source.FileKeySource.interval", 0.05)
    tier.rows = ["a"]
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(A))
    bridge = await start_jwt(jwt_keys=str(file))
    assert await status(bridge, A) == 200
    (tmp_path / "new").write_bytes(jwks(B))
    os.replace(tmp_path / "new", file)
    async with patiently(5):
        while await status(bridge, A) != 401:
            await asyncio.sleep(0.05)
    assert await status(bridge, B) == 200
    file.write_bytes(b"half a fi")
    await asyncio.sleep(0.2)
    assert await status(bridge, B) == 200
