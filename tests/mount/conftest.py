import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import fixtures as samples_  # noqa: E402
from support import mounts  # noqa: E402

SECONDS = 240  # for one test, unless it has a `seconds` mark


def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(n): the test's own time limit")
    if not os.path.exists(mounts.binary()):
        pytest.exit(f"{mounts.binary()} is not there: cargo build --release", 3)
    if not os.path.exists("/dev/fuse"):
        pytest.exit("/dev/fuse is not there", 3)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    mark = item.get_closest_marker("seconds")
    limit = mark.args[0] if mark else SECONDS
    dog = mounts.Watchdog(limit)
    yield
    dog.stop()
    if dog.fired:
        print(f"\n{item.nodeid}: over {limit} s, its daemons were ended", flush=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for m in mounts.LIVE.values():
            report.sections.append((f"daemon {m.pid}", m.log()[-4000:]))


def pytest_sessionfinish():
    mounts.kill_all()


@pytest.fixture
def mount():
    """Starts mounts and ends them after the test."""
    started = []

    def start(source, *options, **more):
        started.append(mounts.Mount(source, *options, **more))
        return started[-1]

    yield start
    dirty = [m.path for m in reversed(started) if not m.close()]
    assert not dirty, f"SIGTERM did not unmount {dirty}"


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    """A folder of sample images and what is expected of each."""
    folder = tmp_path_factory.mktemp("samples")
    folder.chmod(0o755)
    return folder, samples_.write_all(folder, expected=False)


@pytest.fixture(scope="session")
def both_views(samples):
    """The samples mounted in the 0.5 and the 0.4 view side by side."""
    with mounts.Mount(samples[0], "--ngff", "0.5,0.4") as m:
        yield m
