"""The SQLite store: any table of a database file is an entity, any column filters and sorts.

Read in this order::

    database, changelog     tables as entities; which rows changed, and when
    literal, compile, sql   a query: typed, checked against the schema, turned into SELECTs
    reader, store           rows read in one transaction; the ``Store`` that the engine sees
"""
