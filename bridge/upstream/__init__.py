"""Floor 2: the gRPC side. Everything that knows grpc lives here."""
