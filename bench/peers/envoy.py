"""Envoy's gRPC-JSON transcoder: one upstream stream per client, answers as SSE-style JSON."""

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.paths import OUT
from bench.process import SERVER_CORE, process
from bench.tools import Tools

from .peer import Job, Running, entity, free_port, post, tier, wait_for

_METHOD = "/livequery.v1.LiveQueryService/Subscribe"
_SERVICE = "livequery.v1.LiveQueryService"
_TYPE = "type.googleapis.com/envoy.extensions"
_START = 20.0


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _transcoder(descriptor: Path) -> dict[str, Any]:
    return {
        "@type": f"{_TYPE}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptor),
        "services": [_SERVICE],
        "auto_mapping": True,
        "print_options": {"stream_newline_delimited": True, "stream_sse_style_delimited": True},
    }


def _manager(descriptor: Path) -> dict[str, Any]:
    route = {
        "match": {"prefix": "/"},
        "route": {
            "cluster": "tier",
            "timeout": "0s",
            "max_stream_duration": {"max_stream_duration": "0s"},
        },
    }
    return {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "stream_idle_timeout": "0s",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "transcoder", "typed_config": _transcoder(descriptor)},
            {
                "name": "router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            },
        ],
    }


def _config(descriptor: Path, port: int, upstream: int) -> dict[str, Any]:
    manager = {"name": "http", "typed_config": _manager(descriptor)}
    limits = {
        "max_connections": 20000,
        "max_requests": 20000,
        "max_pending_requests": 20000,
    }
    options = {
        "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "tier",
        "type": "STATIC",
        "connect_timeout": "2s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "tier",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}],
        },
    }
    listener = {
        "name": "http",
        "address": _address(port),
        "filter_chains": [{"filters": [manager]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


class EnvoyPeer:
    """Envoy with one worker, before the load tier."""

    name = "envoy"
    transports = ("sse",)

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def start(self, job: Job, stack: ExitStack) -> Running:
        """Start tier and Envoy."""
        load, upstream = tier(stack)
        folder = Path(stack.enter_context(TemporaryDirectory(dir=OUT)))
        port = free_port()
        config = folder / "envoy.json"
        config.write_text(json.dumps(_config(Path(str(self._tools.descriptor)), port, upstream)))
        child = stack.enter_context(
            process(
                str(self._tools.envoy),
                "-c",
                config,
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "warning",
                core=SERVER_CORE,
                name="envoy",
            )
        )
        wait_for(child, port, _START)
        query = {"entity": entity(job), "limit": job.plan.rows}
        body = json.dumps({"query": query, "maxBatchDeltas": 1000}, separators=(",", ":"))
        return Running(
            port=port,
            request=post(_METHOD, body.encode()),
            rows=job.plan.rows,
            servers=[child],
            tier=load,
        )
