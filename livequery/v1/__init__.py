"""Generated from proto/livequery/v1/livequery.proto by `make generate`; do not edit."""
