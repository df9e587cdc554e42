"""`python -m bench`."""

from .cli import main

main()
