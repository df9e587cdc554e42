"""Conformance kit for live-query tiers: `livequery-bridge verify`."""

import os

# grpc's C core reads these once, on import. It would write lines of its own format to stderr.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# Its handlers for forks crash some child processes under uvloop, and no child of ours uses grpc.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
