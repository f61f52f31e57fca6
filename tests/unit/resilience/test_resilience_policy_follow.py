"""A policy source that follows a file, and survives what is done to it."""

import logging
import threading

import pytest

import resilience
from resilience import ServerPolicy
from resilience._chain import Chain
from resilience._file import PolicyFileError
from resilience._follow import PolicyFile, ServerPolicyFile
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience

METHOD = "/shop.v1.Catalog/Get"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "policies.toml"
    path.write_text("[targets.catalog]\ntimeout_s = 1\n")
    return path


def write(path, text):
    """Replace the file as an editor does: another inode, whatever the clock says."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_file_is_read_when_told(path):
    """`reload` takes a sound file over, whole and at once."""
    source = PolicyFile(path, "catalog")
    assert source().timeout_s == 1.0

    write(path, "[targets.catalog]\ntimeout_s = 2\n")
    assert source().timeout_s == 1.0
    assert source.reload()
    assert source().timeout_s == 2.0


def test_a_watched_file_is_looked_at_once_in_an_interval(path, clock):
    """Calls within the interval cost no look, the first one after it takes it over."""
    source = PolicyFile(path, "catalog", clock=clock).watch(1.0)
    assert source().timeout_s == 1.0

    write(path, "[targets.catalog]\ntimeout_s = 2\n")
    clock.advance(0.9)
    assert source().timeout_s == 1.0
    clock.advance(0.2)
    assert source().timeout_s == 2.0


def test_a_file_that_did_not_change_is_not_read_again(path, clock, monkeypatch):
    """A look is a stat; only another time, size or inode makes it a read."""
    source = PolicyFile(path, "catalog", clock=clock).watch(1.0)
    reads = []
    monkeypatch.setattr(source, "_read", lambda: reads.append(1))
    for _ in range(10):
        clock.advance(2.0)
        source()

    assert [] == reads


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[targets.catalog]\ntimeout_s = -1\n", "timeouts must be more than 0"),
        ("[targets.catalog", "not TOML"),
        ("[targets.cart]\n", "targets: no 'catalog'"),
        (None, "No such file"),
    ],
    ids=["refused", "broken", "missing", "gone"],
)
def test_a_bad_file_keeps_the_old_policy(path, clock, caplog, text, told):
    """It is logged once, told by `error`, and forgotten when a sound one comes."""
    source = PolicyFile(path, "catalog", clock=clock).watch(1.0)
    held = source()
    if text is None:
        path.unlink()
    else:
        write(path, text)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            clock.advance(2.0)
            assert source() is held

    assert 1 == len(caplog.records)
    assert told in caplog.text
    assert told in (source.error or "")
    assert "refused" in repr(source)
    assert not source.reload()

    write(path, "[targets.catalog]\ntimeout_s = 3\n")
    clock.advance(2.0)
    assert (3.0, None) == (source().timeout_s, source.error)


@pytest.mark.parametrize("text", ["[targets.cart]\n", "targets = 1"])
def test_the_first_file_must_be_sound(path, text):
    """There is no old policy that could hold."""
    path.write_text(text)

    with pytest.raises(PolicyFileError):
        PolicyFile(path, "catalog")


def test_an_equal_policy_is_not_taken_over(path):
    """A comment in the file changes nothing for anybody."""
    source = PolicyFile(path, "catalog")
    held = source()
    write(path, "# hello\n" + path.read_text())

    assert source.reload()
    assert source() is held


def test_state_survives_a_change_that_does_not_concern_it(path):
    """A breaker keeps its window when only the timeout was changed."""
    source = PolicyFile(path, "catalog")
    chain = Chain(source)
    breaker = chain.slot(METHOD).breaker
    write(path, "[targets.catalog]\ntimeout_s = 2\n")
    source.reload()

    slot = chain.slot(METHOD)
    assert slot.plan.timeout_s == 2.0
    assert slot.breaker is breaker

    write(path, "[targets.catalog]\nbreaker = false\n")
    source.reload()
    assert chain.slot(METHOD).breaker is None


def test_a_server_follows_its_section(path, clock):
    """No section is the default, one that comes is taken over."""
    source = ServerPolicyFile(path, clock=clock).watch()
    assert source() == ServerPolicy()

    write(path, "[server]\nmax_concurrent = 7\n")
    clock.advance(1.1)
    assert source() == ServerPolicy(max_concurrent=7)
    assert resilience.server_interceptor(source)


def test_one_caller_looks_and_the_others_go_on(path, clock, monkeypatch):
    """A slow disk holds up one call, never all of them."""
    source = PolicyFile(path, "catalog", clock=clock).watch(1.0)
    held = source()
    inside, go_on = threading.Event(), threading.Event()
    read = source._read

    def slow_read():
        inside.set()
        assert go_on.wait(10)
        return read()

    monkeypatch.setattr(source, "_read", slow_read)
    write(path, "[targets.catalog]\ntimeout_s = 2\n")
    clock.advance(2.0)
    reader = threading.Thread(target=source)
    reader.start()
    assert inside.wait(10)
    clock.advance(2.0)
    assert source() is held
    go_on.set()
    reader.join(10)

    assert source().timeout_s == 2.0


def test_an_interval_is_more_than_nothing(path):
    """A watch without a pause is refused."""
    with pytest.raises(ValueError, match="interval_s"):
        PolicyFile(path, "catalog").watch(0)
