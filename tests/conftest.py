"""The time that one test, and an example in it, may take, by what else the machine does."""

import pytest
from hypothesis import settings

from patience import patient

# An example has as long as its test: by the clock, a loaded machine would break it.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items):
    """Begin with the files that take long: none is left when all others are done."""
    early = {item.path for item in items if item.get_closest_marker("early")}
    items.sort(key=lambda item: item.path not in early)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Before pytest-timeout reads it: its seconds are those of a machine of one's own."""
    mark = item.get_closest_marker("timeout")
    if mark is None:
        seconds = item.config.getoption("timeout") or float(item.config.getini("timeout"))
    else:
        seconds = mark.args[0] if mark.args else mark.kwargs["timeout"]
    item.add_marker(pytest.mark.timeout(patient(seconds)), append=False)
    return (yield)
