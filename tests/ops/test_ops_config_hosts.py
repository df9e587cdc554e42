"""Origins and hosts as operators write them: what a browser can send is listed, the rest exits 2."""

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.config.hosts import host_names, origin_list


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("https://app.example", "https://app.example:443"),
        ("HTTPS://App.Example:8443", "https://app.example:8443"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("https://*.example.com", "https://*.example.com:443"),
        ("http://*.localhost:3000", "http://*.localhost:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example:443"),
        ("https://*.BÜCHER.example", "https://*.xn--bcher-kva.example:443"),
        ("https://straße.example", "https://xn--strae-oqa.example:443"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_an_origin_is_listed_as_browsers_send_it(text, entry):
    assert origin_list(text).entries == {entry}


NONSENSE = [
    "https://app.example.",
    "https://*.example.com.",
    "https://app example",
    "https://app\texample",
    "https://app.example/",
    "https://app.example/path",
    "https://user@app.example",
    "https://app.example:0",
    "https://app.example:65536",
    "https://app.example:",
    "https://app.example:x",
    "https://",
    "https://.",
    "https://..example",
    "https://-app.example",
    "https://*",
    "https://*.com",
    "https://*.*.example.com",
    "https://a.*.example.com",
    "https://a*.example.com",
    "https://*.127.0.0.1",
    "https://300.1.1.1",
    "https://1.2.3",
    "https://[::1",
    "https://[nonsense]",
    "https://bü cher.example",
    "app.example",
    "*",
    "null",
    "//app.example",
    "file:///",
    "file://host",
    "wss://app.example",
]


@pytest.mark.parametrize("entry", NONSENSE)
def test_an_entry_that_no_browser_can_send_ends_the_start_and_is_named(entry):
    origins = f"https://right.example,{entry}"
    run = CliRunner().invoke(
        cli, ["serve", "--upstream", "a:1", "--print-config", "--allowed-origins", origins]
    )
    assert run.exit_code == 2
    assert repr(entry) in " ".join(run.output.split())
    assert "right.example'" not in run.output.partition(": ")[2].partition("is")[2]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("app.example, B.example", ("app.example", "b.example")),
        ("*.example.com", ("*.example.com",)),
        ("[::1],10.0.0.1", ("[::1]", "10.0.0.1")),
        ("bücher.example", ("xn--bcher-kva.example",)),
        ("", ()),
    ],
)
def test_hosts_are_names_or_addresses(text, hosts):
    assert host_names(text) == hosts


@pytest.mark.parametrize("entry", ["app.example:80", "https://app.example", "a/b", "app.example."])
def test_a_host_has_no_port_and_no_scheme(entry):
    with pytest.raises(ValueError, match=r"app\.example|a/b"):
        host_names(entry)
