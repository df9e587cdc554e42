from hypothesis import given
from hypothesis import strategies as st

from bridge.core.bundle import SharedEncoding, format_position
from core_makers import bundles, quick


def positions_and_data(bundle):
    """An encoding with all that a bundle has to offer."""
    data = [(position, frame.data) for position in bundle.positions for frame in bundle]
    return repr(data).encode()


@quick
@given(bundles())
def test_a_bundle_is_encoded_once(bundle):
    data = bundle.encoded(positions_and_data)
    assert data == positions_and_data(bundle)
    assert bundle.encoded(positions_and_data) is data
    assert SharedEncoding(positions_and_data).encode(bundle) is data


class Named:
    """An encoding for all that have its name. All but `a` use another one, as v1's does."""

    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return isinstance(other, Named) and self.name == other.name

    def __hash__(self):
        return hash(self.name)

    def __call__(self, bundle):
        inner = (
            positions_and_data(bundle) if self.name == "a" else bundle.encoded(positions_and_data)
        )
        return self.name.encode() + inner


NAMES = st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1)


@quick
@given(bundles(), NAMES)
def test_each_of_several_encodings_is_made_once_and_equal_ones_share_it(bundle, names):
    made = {}
    for name in names:
        encoding = Named(name) if name else positions_and_data
        data = bundle.encoded(encoding)
        assert data == encoding(bundle)
        assert made.setdefault(name, data) is data


@quick
@given(bundles())
def test_a_bundle_splits_into_its_groups(bundle):
    parts = bundle.split()
    assert [part.groups for part in parts] == [[group] for group in bundle.groups]
    assert [part.positions for part in parts] == [[position] for position in bundle.positions]
    assert [part.position for part in parts] == bundle.positions
    assert [frame for part in parts for frame in part] == list(bundle)
    assert sum(part.frame_count for part in parts) == bundle.frame_count == len(list(bundle))


@quick
@given(bundles())
def test_a_bundle_has_stream_ids_if_all_groups_have_one_or_none_has(bundle):
    present = {bool(group.stream_id) for group in bundle.groups}
    assert bundle.has_stream_ids == (present.pop() if len(present) == 1 else None)
    for expected in (True, False):
        applies = SharedEncoding(positions_and_data, expected).applies_to(bundle)
        assert applies == (bundle.has_stream_ids is expected)
    assert SharedEncoding(positions_and_data).applies_to(bundle)


def test_the_positions_of_a_bundle_end_at_its_own():
    assert format_position("token", 7) == "token.7"
