"""A small live-query tier over SQLite: what the demo and the tests run against.

It is a real one: any table of a database is an entity, any column can be filtered and sorted
by, and commits (those of other processes too) reach the subscribers as groups of deltas.

Read in this order::

    flights, replay         the demo's table and the clock that replays its day
    database, changelog     tables as entities; which rows changed, and when
    value, query, sql       a query: checked, typed, turned into SELECTs
    reader, window          rows read in one transaction; the script from one window to the next
    subscription, watcher   one consumer's outbox; commits -> windows -> outboxes
    delta, errors           both as the contract spells them
    service, server         gRPC; composition

``server.TierOptions`` with ``server.run_tier`` (a command) or ``server.start_tier`` (a test) is
the way in.
"""
