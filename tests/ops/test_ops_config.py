"""Options: one declaration each, the same from every source, typed, and grouped in help."""

import re

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.config.loader import ConfigError, Setting, resolve
from bridge.config.options import GROUPS, OPTIONS, Config
from bridge.config.values import ListenAddress, duration, listen_address, size, switch
from bridge.core.address import ReplicaAddress, ServiceName
from bridge.process.worker import WorkerSettings

SAMPLES = {
    "ADDRESS,…": "tier:1,dns:///tiers:2",
    "on|off": "on",
    "FILE": "x.pem",
    "NAME": "tier.example",
    "N": "7",
    "HOST:PORT": "[::1]:9",
    "HOST:PORT,…": "[::1]:9,:10",
    "PATH": "/live",
    "NAME,…": "Authorization",
    "ORIGIN,…": "https://app.example",
    "HOST,…": "app.example,*.b.example",
    "NAME=ROWS,…": "orders=10,role=admin:*=1000",
    "CIDR,…": "10.0.0.0/8,::1",
    "TIME": "1.5m",
    "SIZE": "64KiB",
    "compatible|fast": "fast",
    "PROTOCOL": "fabriq.v1",
    "text|json": "json",
    "LEVEL": "debug",
    "forward|jwt|none": "none",
    "FILE|URL": "https://issuer.example/jwks.json",
    "JSON": '[{"issuer": "i", "audience": ["a", "b"], "keys": "k.pem"}]',
    "CLAIM=NAME,…": "https://app.example/tenant=X-Tenant,sub=x-user",
}
BY_KEY = {"jwt_algorithms": "ES256,RS256"}
JWT = {"auth": "jwt", "jwt_keys": "k", "jwt_issuer": "i", "jwt_audience": "a"}
TOGETHER = {
    "upstream_cert": {"upstream_key": "k"},
    "upstream_key": {"upstream_cert": "c"},
    "tls_cert": {"tls_key": "k"},
    "proxy_protocol": {"trusted_proxies": "::1"},
    "tls_key": {"tls_cert": "c"},
    "tls_client_ca": {"tls_cert": "c", "tls_key": "k"},
    "listen": {"auth": "none"},
    "admin_token": {"admin_listen": "127.0.0.1:0"},
    "issuer": {"auth": "jwt"},
    "jwt_ca": {**JWT, "jwt_keys": "https://issuer.example/keys"},
    **{
        key: {name: text for name, text in JWT.items() if name != key}
        for key in ("jwt_keys", "jwt_issuer", "jwt_audience", "jwt_algorithms", "revocations")
    },
    "claims_metadata": JWT,
}
"""What else must be given with an option."""


def test_a_config_without_arguments_is_the_documented_defaults():
    assert Config() == resolve({}, environ={})[0]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_has_one_value_from_flag_variable_and_file(option, tmp_path):
    text = BY_KEY.get(option.key, SAMPLES[option.metavar])
    others = TOGETHER.get(option.key, {})
    file = tmp_path / "bridge.toml"
    file.write_text(f"{option.name} = '{text}'\n")
    by_flag, settings = resolve({option.key: text, **others}, environ={})
    assert getattr(by_flag, option.key) == option.parse(text)
    assert settings[option.key] == Setting(text, f"--{option.name}")
    assert resolve(others, environ={option.variable: text})[0] == by_flag
    assert resolve(others, environ={}, file=str(file))[0] == by_flag


def test_values_are_typed():
    flags = {"upstream": "a:1,dns:///b:2", "sharing": "off", "linger": "500ms", "listen": ":0"}
    flags["auth"] = "none"
    config, _ = resolve(flags, environ={})
    assert config.upstream == (ReplicaAddress("a:1"), ServiceName("b", 2))
    assert config.sharing is False
    assert config.linger == 0.5
    assert config.listen == (ListenAddress("", 0),)
    assert config.viewer_backlog == 262144
    assert config.admin_listen is config.tls_cert is config.memory_limit is None


@pytest.mark.parametrize(("toml", "value"), [("true", True), ("false", False), ('"on"', True)])
def test_a_switch_may_be_a_boolean_in_the_file(toml, value, tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text(f"sharing = {toml}\n")
    assert resolve({}, environ={}, file=str(file))[0].sharing is value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((duration, text) for text in ("", "5 s", "-1s", "1d", "s")),
        *((size, text) for text in ("", "1.5MiB", "1MB", "-1")),
        *((switch, text) for text in ("", "On", "true", "1")),
        *((listen_address, text) for text in ("", "8080", "h:", "h:65536", "::1:80")),
    ],
)
def test_a_text_outside_the_grammar_is_refused(parse, text):
    with pytest.raises(ValueError, match=r"is needed|as in"):
        parse(text)


@pytest.mark.parametrize(
    "path", ["/metrics", "/healthz", "/readyz", "/", "", "/a/", "/..", "/a/./b", "a"]
)
def test_a_base_path_that_cannot_be_served_ends_the_start_with_a_sentence(path):
    run = CliRunner().invoke(cli, ["serve", "--upstream", "a:1", "--base-path", path])
    assert run.exit_code == 2
    assert f"--base-path '{path}'" in run.output
    assert "as in /api/v1/live" in " ".join(run.output.split())


@pytest.mark.parametrize("path", ["/explorer", "/explorer/x", "/client/livequery.js"])
def test_a_base_path_where_the_pages_are_is_refused_with_the_explorer_only(path):
    flags = {"base_path": path}
    with pytest.raises(ConfigError, match="--explorer"):
        resolve({**flags, "explorer": "on"}, environ={})
    assert resolve(flags, environ={})[0].base_path == path


@pytest.mark.parametrize("path", ["/metrics/live", "/live", "/explorers", "/a.b/c..d"])
def test_a_base_path_beside_the_others_is_served(path):
    assert resolve({"base_path": path, "explorer": "on"}, environ={})[0].base_path == path


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:80", "localhost:0"])
def test_a_listen_address_prints_as_it_is_parsed(text):
    assert str(listen_address(text)) == text


def test_a_worker_reads_the_config_that_its_parent_wrote():
    config, settings = resolve({"upstream": "dns:///tiers:2", "explorer": "on"}, environ={})
    line = WorkerSettings("w1", "/tmp/x", settings).encode()
    assert WorkerSettings.decode(line).config() == config


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("command", ["serve", "check"])
def test_help_lists_every_option_once_in_its_group_and_fits_the_terminal(command, width):
    out = CliRunner().invoke(cli, [command, "--help"], terminal_width=width).output
    assert max(map(len, out.splitlines())) <= width
    sections = dict(re.findall(r"^(\S[^\n]*):\n((?:  .*\n)+)", out, re.MULTILINE))
    for group, options in GROUPS.items():
        listed = re.findall(r"^  --(\S+)", sections[group], re.MULTILINE)
        assert listed == [option.name for option in options]
    assert "--config" in sections["Options"]
    columns = {
        re.match(r"  --\S+ \S+ +", line).end()
        for line in out.splitlines()
        if re.match(r"  --\S+ \S+  +\S", line)
    }
    assert len(columns) == 1, "the groups are aligned"


# ------------------------------------------------------------------ the environment


LINKS = {
    "BRIDGE_SERVICE_HOST": "10.0.0.1",
    "BRIDGE_PORT": "tcp://10.0.0.1:80",
    "BRIDGE_PORT_80_TCP": "tcp://10.0.0.1:80",
    "BRIDGE_METRICS_SERVICE_HOST": "10.0.0.1",
    "BRIDGE_METRICS_SERVICE_PORT": "9090",
    "BRIDGE_METRICS_SERVICE_PORT_HTTP_METRICS": "9090",
    "BRIDGE_METRICS_PORT": "udp://10.0.0.1:53",
    "BRIDGE_METRICS_PORT_53_UDP": "udp://10.0.0.1:53",
    "BRIDGE_METRICS_PORT_53_UDP_PROTO": "udp",
    "BRIDGE_NAME": "/web/bridge",
    "BRIDGE_DB_NAME": "/web/db",
    "BRIDGE_ENV_LANG": "C",
    "BRIDGE_DB_ENV_LANG": "C",
}


def test_what_service_links_set_is_passed_over():
    assert resolve({}, environ=LINKS)[0] == Config()


@pytest.mark.parametrize(
    ("variable", "value", "near"),
    [
        ("BRIDGE_OTHER_PORT", "8080", ""),
        ("BRIDGE_LISTEN_PORT", "8080", "BRIDGE_LISTEN"),
        ("BRIDGE_LISTN", ":80", "BRIDGE_LISTEN"),
        ("BRIDGE_UPSTREAM_SERVR_NAME", "tier", "BRIDGE_UPSTREAM_SERVER_NAME"),
        ("BRIDGE_PORT_80", "x", ""),
    ],
)
def test_a_mistyped_variable_is_refused(variable, value, near):
    with pytest.raises(ConfigError, match=f"unknown variable {variable}.*{near}"):
        resolve({}, environ={variable: value})


def test_an_empty_variable_is_as_good_as_none(tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text("max-rows = 7\n")
    empty = {"BRIDGE_MAX_ROWS": "", "BRIDGE_LISTEN": "", "BRIDGE_LISTN": "", "BRIDGE_CONFIG": ""}
    config, settings = resolve({}, environ=empty, file=str(file))
    assert config.max_rows == 7
    assert settings["listen"].source == "default"


async def test_service_links_are_one_line_of_the_log(serve, tier):
    program = await serve(environ={**LINKS, "BRIDGE_MAX_ROWS": ""})
    await program.listening()
    line = await program.says("service links")
    assert "INFO" in line
    assert all(variable in line for variable in LINKS)
    assert (await program.stop())[0] == 0
    assert sum("service links" in line for line in program.err) == 1


# ------------------------------------------------------------------ lists


def test_listen_given_again_adds_an_address():
    run = CliRunner().invoke(
        cli,
        [
            "serve",
            "--print-config",
            "--auth",
            "none",
            "--listen",
            "127.0.0.1:80",
            "--listen",
            "[::1]:81,:82",
        ],
    )
    assert 'listen = "127.0.0.1:80,[::1]:81,:82"' in run.output


@pytest.mark.parametrize("text", ["", ",", ":80,:80", "[::1]:80,[::1]:80", ":80,x"])
def test_listen_needs_addresses_each_once(text):
    with pytest.raises(ConfigError, match="--listen"):
        resolve({"listen": text}, environ={})


@pytest.mark.parametrize(
    ("public", "admin"),
    [
        (":80,:81", ":81"), ("127.0.0.1:81", "localhost:81"), ("0.0.0.0:81", "127.0.0.1:81"),
        ("[::]:81", "10.0.0.1:81"), ("10.0.0.1:81", ":81"), ("bridge:81", "127.0.0.1:81"),
        ("[::1]:81", "[0:0:0:0:0:0:0:1]:81"),
    ],
)  # fmt: skip
def test_the_admin_address_is_none_of_the_public_ones(public, admin):
    """Workers can bind an address twice: then some connections would be operators', by chance."""
    with pytest.raises(ConfigError, match="--admin-listen"):
        resolve({"listen": public, "admin_listen": admin, "auth": "none"}, environ={})


@pytest.mark.parametrize("admin", ["127.0.0.1:80", "127.0.0.1:0", ":82"])
def test_the_admin_address_may_be_another_one_of_the_machine(admin):
    resolve({"listen": "10.0.0.1:80,:0", "admin_listen": admin, "auth": "none"}, environ={})
