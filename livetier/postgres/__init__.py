"""The PostgreSQL store: any table is an entity, and PostgreSQL decides what a window holds.

Read in this order::

    fence, transaction, ledger      which transactions a view contains; which may touch it
    pgoutput, replication_stream    the change stream of a logical replication slot
    catalogue, column_type          tables as entities
    compile, sql                    a query: checked, turned into SELECTs
    reader, store                   rows read in one transaction; the ``Store`` of the engine

The fence is a snapshot of transaction ids, never a position in the log: a commit is in the log
before others can see it.
"""
