"""The time that one test, and an example in it, may take, by what else the machine does."""

import pytest
from hypothesis import settings

from patience import patient

# An example has as long as its test: by the clock, a loaded machine would break it.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Keep the tests of a file in one process, but for those that stand apart: they come first,
    so that no long one is left when all others are done."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    items.sort(key=lambda item: item.get_closest_marker("apart") is None)
    for item in items:
        if not item.get_closest_marker("apart") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


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
