import ssl

import pytest

from bridge.tls.pem import load_key, pem_text, read_certificates
from bridge.tls.reloading import TlsError
from bridge.upstream import tls as upstream
from bridge.web import tls as web


@pytest.fixture
def commented(authority, tmp_path):
    """An authority's file as bundles have it, with comments in the language of each."""
    path = tmp_path / "bundle.pem"
    comment = "# NetLock Arany (Class Gold) Főtanúsítvány\n".encode()
    with open(authority.ca, "rb") as file:
        path.write_bytes(comment + file.read() + b"\xff\xfe\n")
    return str(path)


def test_comments_of_a_bundle_may_be_in_any_language_on_both_sides(authority, commented):
    cert, key = authority.issue("server", 1)
    listener = web.load(web.ListenerTlsFiles(cert=cert, key=key, client_ca=commented))
    towards = upstream.load(upstream.UpstreamTlsFiles(ca=commented)).context
    for context in (listener, towards):
        [trusted] = context.get_ca_certs()
        assert trusted["subject"]
    assert listener.verify_mode is ssl.CERT_REQUIRED


def test_what_is_read_is_what_is_in_the_files(authority, commented):
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
