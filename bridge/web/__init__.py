"""Floor 2: the browser side. Everything that knows aiohttp lives here."""
