"""Who may come in is said, and said without contradiction, or the bridge does not start."""

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.config.loader import ConfigError, resolve, show
from tokens import ec_key, jwks, rsa_key

JWT = {"auth": "jwt", "jwt_keys": "k", "jwt_issuer": "i", "jwt_audience": "a"}


@pytest.mark.parametrize("listen", ["0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:80", "bridge:80"])
def test_a_port_that_others_can_reach_opens_only_once_it_is_said_who_may_come_in(listen):
    run = CliRunner().invoke(cli, ["serve", "--upstream", "a:1", "--listen", listen])
    assert run.exit_code == 2
    for mode in ("forward", "jwt", "none"):
        assert f"--auth {mode}" in " ".join(run.output.split())


def test_it_may_be_said_by_flag_by_variable_and_in_the_file(tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text('auth = "forward"\n')
    listen = {"listen": "0.0.0.0:0"}
    assert resolve({**listen, "auth": "none"}, environ={})[0].auth == "none"
    assert resolve(listen, environ={"BRIDGE_AUTH": "none"})[0].auth == "none"
    assert resolve(listen, environ={}, file=str(file))[0].auth == "forward"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "[::1]:0", "127.1.2.3:0"])
def test_on_loopback_nothing_need_be_said(listen):
    assert resolve({"listen": listen}, environ={})[0].auth is None


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"auth": "jwt"}, "--jwt-keys"),
        ({"jwt_keys": "k"}, "--jwt-keys needs --auth jwt"),
        ({"auth": "forward", "claims_metadata": "a=b"}, "--claims-metadata needs --auth jwt"),
        ({"revocations": "f"}, "--revocations needs --auth jwt"),
        ({**JWT, "jwt_keys": "http://issuer.example/keys"}, "https only"),
        ({**JWT, "jwt_keys": "file:///etc/keys"}, "https only"),
        ({**JWT, "jwt_keys": "https://"}, "https://HOST/PATH"),
        ({**JWT, "jwt_keys": "https:///keys"}, "https://HOST/PATH"),
        ({**JWT, "jwt_keys": "https://me:secret@issuer.example/keys"}, "no user and password"),
        ({**JWT, "jwt_ca": "ca.pem"}, "--jwt-ca"),
        ({**JWT, "jwt_algorithms": "none"}, "'none' is none of"),
        ({**JWT, "jwt_keys": "https://i/k", "jwt_algorithms": "HS256"}, "secret"),
        ({**JWT, "claims_metadata": "a=x,b=x"}, "two claims"),
        ({**JWT, "claims_metadata": "a=authorization"}, "authorization"),
        ({**JWT, "claims_metadata": "a=grpc-x"}, "grpc-x"),
        ({**JWT, "claims_metadata": "tenant"}, "CLAIM=NAME"),
        ({**JWT, "claims_metadata": "a=x-a", "scope": "x-b"}, "--scope x-b"),
        ({"auth": "none", "auth_cookie": "c"}, "--auth-cookie"),
        ({"auth_cookie": "a b"}, "cookie"),
        ({"admin_token": "f"}, "--admin-listen"),
        ({**JWT, "issuer": [{"issuer": "i", "audience": "a", "keys": "k"}]}, "--jwt-keys"),
        ({"auth": "jwt", "issuer": [{"issuer": "i"}]}, "issuer, audience and keys"),
        ({"auth": "jwt", "issuer": [{"isuer": "i"}]}, "isuer"),
        ({"auth": "jwt", "issuer": [{"issuer": "i", "audience": "a", "keys": "k"}] * 2}, "same"),
    ],
)
def test_options_that_contradict_are_refused_by_name(flags, named):
    with pytest.raises(ConfigError) as refused:
        resolve(flags, environ={})
    assert named in str(refused.value)


def test_issuers_are_tables_of_the_file_and_survive_being_printed(tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text(
        'auth = "jwt"\n'
        '[[issuer]]\nissuer = "one"\naudience = ["a", "b"]\nkeys = "one.pem"\n'
        '[[issuer]]\nissuer = "two"\naudience = "c"\nkeys = "https://two/keys"\nca = "ca.pem"\n'
    )
    config, settings = resolve({}, environ={}, file=str(file))
    assert [table.issuer for table in config.issuer] == ["one", "two"]
    assert [table.audience for table in config.issuer] == [("a", "b"), ("c",)]
    file.write_text(show(settings))
    assert resolve({}, environ={}, file=str(file))[0] == config


def start_with(command, keys, name, value):
    """Run a command with tokens verified by good `keys`, and one option otherwise."""
    options = {
        "--upstream": "a:1",
        "--listen": "127.0.0.1:0",
        "--admin-listen": "127.0.0.1:0",
        "--auth": "jwt",
        "--jwt-keys": str(keys),
        "--jwt-issuer": "i",
        "--jwt-audience": "a",
        name: value,
    }
    return CliRunner().invoke(cli, [command, *(x for pair in options.items() for x in pair)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("--jwt-keys", b"nonsense"),
        ("--jwt-keys", b"{}"),
        ("--jwt-keys", jwks()),
        ("--jwt-keys", b'{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}'),
        ("--ticket-key", b"too short"),
        ("--admin-token", b""),
    ],
)
@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_file_that_can_not_be_used_ends_the_start_by_name(command, name, content, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(rsa_key().pem)
    bad.write_bytes(content)
    run = start_with(command, good, name, str(bad))
    assert run.exit_code == 2
    assert name in run.output


@pytest.mark.parametrize("name", ["--ticket-key", "--admin-token", "--jwt-keys"])
@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_secret_that_is_given_in_place_of_its_file_is_not_printed(command, name, tmp_path):
    good, secret = tmp_path / "good", "c2VjcmV0LXRleHQtb2Ytc29tZS1sZW5ndGg/"
    good.write_bytes(rsa_key().pem)
    run = start_with(command, good, name, f"secret:{secret}" if name == "--jwt-keys" else secret)
    assert run.exit_code == 2
    assert name in run.output
    assert secret not in run.output


@pytest.mark.parametrize("host", ["issuer.example", "issuer\u2100.example", "[::1"])
def test_a_password_in_a_url_of_keys_is_not_printed(host):
    with pytest.raises(ConfigError) as refused:
        resolve({**JWT, "jwt_keys": f"https://me:hunter2@{host}/keys"}, environ={})
    assert "hunter2" not in str(refused.value)


def test_a_pem_is_never_a_secret(tmp_path):
    file = tmp_path / "keys.pem"
    file.write_bytes(ec_key().pem)
    for flags in ({"jwt_keys": f"secret:{file}"}, {"jwt_algorithms": "HS256"}):
        options = {**JWT, "jwt_keys": str(file), "upstream": "a:1", **flags}
        arguments = [x for k, v in options.items() for x in (f"--{k.replace('_', '-')}", v)]
        run = CliRunner().invoke(cli, ["check", *arguments])
        assert run.exit_code == 2
        assert "--jwt-keys" in run.output
