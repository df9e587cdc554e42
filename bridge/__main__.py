"""`python -m bridge`, the same as `livequery-bridge`."""

from .cli import main

if __name__ == "__main__":
    main()
