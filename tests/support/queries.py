"""Queries as clients write them."""


def query_members(entity, limit=3, **more):
    """Return the members of a LiveQuery on a table that is sorted by `k`."""
    return {"entity": entity, "sort": [{"column": "k"}], "limit": limit, **more}
