"""Connections to the tier: the only package that knows grpc and h2."""

import os

# grpc's C core would write lines of its own format to stderr. It reads this once, on import.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
