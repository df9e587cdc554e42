import ssl
from pathlib import Path

import pytest

from bridge.tls.contexts import TlsFiles, load_client, load_server
from bridge.tls.pem import TlsError, load_key, pem_text, read_certificates


@pytest.fixture
def commented(authority, tmp_path):
    """A CA file as bundles have it, with comments in several languages."""
    path = tmp_path / "bundle.pem"
    comment = "# NetLock Arany (Class Gold) Főtanúsítvány\n".encode()
    with open(authority.ca, "rb") as file:
        path.write_bytes(comment + file.read() + b"\xff\xfe\n")
    return str(path)


def test_comments_of_a_bundle_may_be_in_any_language_on_both_sides(authority, commented):
    cert, key = authority.issue("server", 1)
    server = load_server(TlsFiles(cert=cert, key=key, ca=commented)).context
    client = load_client(TlsFiles(ca=commented)).context
    for context in (server, client):
        [trusted] = context.get_ca_certs()
        assert trusted["subject"]
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_checked_bytes_are_those_of_the_files(authority, commented):
    cert, key = authority.issue("server", 1)
    for load in (load_server, load_client):
        loaded = load(TlsFiles(cert=cert, key=key, ca=commented))
        assert (loaded.ca, loaded.cert, loaded.key) == tuple(
            Path(path).read_bytes() for path in (commented, cert, key)
        )
        loaded = load(TlsFiles())
        assert (loaded.ca, loaded.cert, loaded.key) == (None, None, None)


def test_the_bytes_read_are_those_of_the_files(authority, commented):
    cert, key = authority.issue("server", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with open(commented, "rb") as bundle, open(key, "rb") as private:
        assert read_certificates(commented) == bundle.read()
        assert load_key(context, cert, key) == private.read()
    assert pem_text(b"\xc5\x91a") == "a"


def test_a_file_that_can_not_be_used_is_named(authority, tmp_path):
    cert, key = authority.issue("server", 1)
    _, other = authority.issue("other", 2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    gone = str(tmp_path / "gone.pem")
    for attempt, says in (
        (lambda: read_certificates(gone), f"{gone}: No such file"),
        (lambda: read_certificates(key), f"{key}: not a certificate"),
        (lambda: load_key(context, cert, gone), f"{gone}: No such file"),
        (lambda: load_key(context, cert, other), f"{other}: not the private key"),
    ):
        with pytest.raises(TlsError) as refused:
            attempt()
        assert str(refused.value).startswith(says)
