"""Commands of a replication connection, which is no place for prepared statements."""

import psycopg
from psycopg import pq

from livetier.postgres.connection import wait_for
from livetier.postgres.database_error import DatabaseError


async def command(connection: psycopg.AsyncConnection[object], text: str) -> tuple[str, ...]:
    """Run one command; return the first row of its answer. Raises DatabaseError.

    One that starts a stream returns when it has started.
    """
    pgconn = connection.pgconn
    descriptor = pgconn.socket  # libpq forgets it when the connection breaks
    try:
        pgconn.send_query(text.encode())
        row: tuple[str, ...] = ()
        while True:
            pgconn.flush()
            while pgconn.is_busy():
                await wait_for(descriptor)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None or result.status == pq.ExecStatus.COPY_BOTH:
                return row
            if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE):
                state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
                primary = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b""
                raise DatabaseError(primary.decode("utf-8", "replace"), state.decode())
            if result.ntuples:
                row = tuple(
                    (result.get_value(0, column) or b"").decode()
                    for column in range(result.nfields)
                )
    except psycopg.Error as error:
        raise DatabaseError.of(error) from None
