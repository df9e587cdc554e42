"""The demo's data: one day of flights, replayed into a database.

``flights`` has the table and the events of the day; ``replay`` commits them by a clock.
"""
