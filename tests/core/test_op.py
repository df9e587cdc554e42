from bridge.core.op import NAMES, Op


def test_ops_are_the_numbers_and_names_of_the_schema():
    assert [NAMES[op] for op in Op] == ["delta", *(op.name.lower() for op in Op if op)]
    assert list(Op) == list(range(8))
