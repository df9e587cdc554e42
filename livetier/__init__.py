"""A small live-query tier over SQLite: the demo and the tests run against it.

Any table of a database is an entity, any column can be filtered and sorted by, and commits (those
of other processes too) reach the subscribers as groups of deltas.

Imports go down only::

    server      composition: a store, the engine, gRPC
    demo        one day of flights, and its replay
    postgres    the PostgreSQL store
    sqlite      the SQLite store
    engine      windows, subscriptions, the gRPC service; it knows no database

Start with ``engine.store``, the interface between the last two. ``server.TierOptions`` with
``server.run_tier`` (a command) or ``server.start_tier`` (a test) starts a tier.
"""
