"""nginx + Nchan: publish and subscribe in C, one worker. It relays; it knows no windows."""

import os
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.paths import OUT
from bench.process import SERVER_CORE, ProcessError, process
from bench.tools import Tools

from .peer import Job, Running, feed, free_port, get, upgrade

# As many messages are kept for those who lag as the bridge keeps groups.
_CONFIG = """\
load_module {module};
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_body_buffer_size 64k;
  keepalive_requests 1000000000;
  keepalive_time 24h;
  tcp_nodelay on;
  nchan_shared_memory_size 256M;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location = /publish {{
      nchan_publisher http;
      nchan_channel_id live;
      nchan_message_buffer_length 1000;
    }}
    location = /subscribe {{
      nchan_subscriber eventsource websocket;
      nchan_channel_id live;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""
_START = 10.0


class NchanPeer:
    """One channel that a feeder publishes to; the feeder's CPU is not Nchan's."""

    name = "nchan"
    transports = ("sse", "ws")

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def start(self, job: Job, stack: ExitStack) -> Running:
        """Start nginx, then what publishes to it."""
        folder = Path(stack.enter_context(TemporaryDirectory(dir=OUT)))
        port = free_port()
        config = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(
            _CONFIG.format(module=self._tools.nchan, user=user, folder=folder, port=port)
        )
        nginx = stack.enter_context(
            process(
                str(self._tools.nginx), "-p", folder, "-c", config, core=SERVER_CORE, name="nginx"
            )
        )
        until = time.monotonic() + _START
        while not (folder / "nginx.pid").exists():
            if time.monotonic() > until:
                raise ProcessError(f"nginx did not start: {nginx.tail()}")
            time.sleep(0.02)
        time.sleep(0.2)  # the worker comes after the pid file
        headers = "Content-Type: application/json\r\nX-EventSource-Event: update\r\n"
        feed(stack, job.plan, (port, "/publish"), headers=headers, around=("", ""))
        request = get("/subscribe") if job.transport == "sse" else upgrade("/subscribe")
        return Running(port=port, request=request, servers=[nginx])
