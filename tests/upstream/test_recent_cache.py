from bridge.upstream.recent_cache import RecentCache


class Made:
    def __init__(self):
        self.keys = []

    def __call__(self, key):
        self.keys.append(key)
        return key.decode()


def test_what_was_asked_for_lately_is_made_once():
    made = Made()
    cache = RecentCache(made, 2)
    for key in (b"a", b"b", b"a", b"c", b"a", b"c"):
        assert cache.get(key) == key.decode()
    assert made.keys == [b"a", b"b", b"c"]


def test_what_is_not_asked_for_is_forgotten():
    made = Made()
    cache = RecentCache(made, 2)
    for key in (b"a", b"b", b"c", b"d", b"e", b"a"):
        cache.get(key)
    assert made.keys == [b"a", b"b", b"c", b"d", b"e", b"a"]


def test_an_empty_value_is_kept_too():
    keys = []
    cache = RecentCache(lambda key: keys.append(key) or b"", 2)
    assert (cache.get(b"a"), cache.get(b"a"), keys) == (b"", b"", [b"a"])
