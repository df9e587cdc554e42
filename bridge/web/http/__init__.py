"""HTTP/1.1: connections, requests read, response headers, problem details."""
