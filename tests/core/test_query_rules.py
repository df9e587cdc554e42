"""QueryRules: which entities may be asked for, and how large a query may be."""

import pytest

from bridge.config.entity_rules import entity_rules
from bridge.core.errors import Failed, Kind
from bridge.core.query_parser import parse_query
from bridge.core.query_rules import QueryRules
from bridge.core.schema import Schema, SchemaEntity

ADMIN = [("role", "admin"), ("role", "user"), ("plan", "a:b")]


def check(text, entity, limit, claims=()):
    """Return None if a query may be asked, else what is wrong with it."""
    query = parse_query(f'{{"entity":"{entity}","limit":{limit}}}')
    try:
        QueryRules(entity_rules(text)).check(query, claims)
    except Failed as failure:
        return failure.kind, failure.field, failure.limit
    return None


DENIED = Kind.DENIED, "entity", "entities"
TOO_MANY = Kind.BAD_QUERY, "limit", "entities"


@pytest.mark.parametrize(
    ("text", "entity", "limit", "claims", "outcome"),
    [
        ("", "a", 10**6, (), None),
        ("a=10", "a", 10, (), None),
        ("a=10", "a", 11, (), TOO_MANY),
        ("a=10", "b", 1, (), DENIED),
        ("a", "a", 10**6, (), None),
        ("a=0", "a", 10**6, (), None),
        ("a=10, *=5", "b", 5, (), None),
        ("a=10,*=5", "b", 6, (), TOO_MANY),
        ("*=50,a=10", "a", 11, (), TOO_MANY),
        ("a=10,role=admin:a=100", "a", 11, (), TOO_MANY),
        ("a=10,role=admin:a=100", "a", 100, ADMIN, None),
        ("a=10,role=admin:a=100", "a", 101, ADMIN, TOO_MANY),
        ("role=admin:a=100", "a", 1, (), DENIED),
        ("role=admin:a=100", "a", 1, [("role", "user")], DENIED),
        ("a=100,role=admin:a=10", "a", 100, ADMIN, None),
        ("a=10,role=admin:*=100", "a", 100, ADMIN, None),
        ("a=10,role=admin:*", "b", 10**6, ADMIN, None),
        ("plan=a:b:a=7", "a", 7, ADMIN, None),
    ],
)
def test_the_most_generous_entry_that_concerns_a_caller_counts(
    text, entity, limit, claims, outcome
):
    assert check(text, entity, limit, claims) == outcome


@pytest.mark.parametrize(
    "text", ["a=x", "a=-1", "a b", "a=1,a=2", "x=y:a,x=y:a=3", "=5", "role:a=1"]
)
def test_what_is_no_entry_is_refused_and_named(text):
    with pytest.raises(ValueError, match=r"is no entry|is listed twice"):
        entity_rules(text)


@pytest.mark.parametrize(
    ("text", "claims", "seen"),
    [
        ("", (), {"a": 0, "b": 20}),
        ("a=10", (), {"a": 10}),
        ("a,b=50", (), {"a": 0, "b": 20}),
        ("b=5", (), {"b": 5}),
        ("a=10,role=admin:*", (), {"a": 10}),
        ("a=10,role=admin:*", ADMIN, {"a": 0, "b": 20}),
    ],
)
def test_a_schema_shows_what_may_be_asked_for(text, claims, seen):
    schema = Schema((SchemaEntity("a"), SchemaEntity("b", max_limit=20)))
    visible = QueryRules(entity_rules(text)).visible(schema, claims)
    assert {entity.name: entity.max_limit for entity in visible.entities} == seen


def test_conditions_are_counted_in_or_too():
    nested = '{"column":"x","op":"eq","value":1}'
    query = parse_query(
        f'{{"entity":"a","limit":1,"where":[{nested},{{"or":[{nested},{nested}]}}]}}'
    )
    QueryRules(max_conditions=4).check(query, ())
    with pytest.raises(Failed) as refused:
        QueryRules(max_conditions=3).check(query, ())
    assert (refused.value.kind, refused.value.field) == (Kind.BAD_QUERY, "where")
    QueryRules().check(query, ())
