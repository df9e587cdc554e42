"""The embedded tier, on PostgreSQL and on SQLite, beside what people do without one."""
