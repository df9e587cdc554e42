"""The live-query engine: windows, subscriptions and the gRPC service. It knows no database.

``store.Store`` is the interface to one. ``watcher.Watcher`` asks a store to read, and
``service.LiveQueryService`` sends what follows from it.
"""
