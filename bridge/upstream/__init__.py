"""Floor 2: the gRPC side. Everything that knows grpc or h2 lives here."""

import os

# The C core would write its own lines to stderr, in its own format; it reads this once, on import.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
