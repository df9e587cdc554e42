"""Certificate files: read, checked, and read again when they change. Both sides use it."""
