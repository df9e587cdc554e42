"""A gRPC client's read path: server-streaming calls over HTTP/2, as cheap as Python lets it be."""
