"""Pages served to browsers, from package data."""
