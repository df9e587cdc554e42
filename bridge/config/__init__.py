"""Configuration: the table of options, and what is read from flags, environment and file."""
