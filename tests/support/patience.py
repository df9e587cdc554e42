"""How long tests wait on a machine that has other work too.

Three kinds of time bounds, and what is right for each:

- to give up waiting: `patiently(seconds)` or `until`; a loaded machine gets more;
- a promise of the documents: `at_most(seconds)` of a test that is `promised`; strict in its
  `soak` variant, which is for a machine that has nothing else to do;
- anything else: no time at all, but the order of events, CPU time, or a clock of the test's own.
"""

import asyncio
import os

import pytest

CORES = len(os.sched_getaffinity(0))


def load():
    """How many times more work than cores there is, 1 at least."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return max(1.0, os.getloadavg()[0] / CORES, workers / CORES)


def patient(seconds):
    """So many seconds of a machine of one's own, as this machine's."""
    return seconds * load()


def patiently(seconds):
    """Bound what is inside by `patient` seconds, or by nothing (None), as asyncio.timeout does."""
    return asyncio.timeout(None if seconds is None else patient(seconds))


def strictly(seconds):
    return seconds


promised = pytest.mark.parametrize(
    "at_most",
    [
        pytest.param(patient, id="patient"),
        pytest.param(strictly, id="strict", marks=pytest.mark.soak),
    ],
)
"""For a test of a time that the documents promise: it takes `at_most(seconds)`."""
