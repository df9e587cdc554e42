"""The read path: streaming gRPC calls over HTTP/2, with little work for each message."""
