"""Toxics go on and come off through the real API, whatever becomes of their maker."""

import os
import signal
import subprocess
import sys
import time

import pytest

from chaos.guard import Guard
from chaos.toxics import PREFIX, Placed, Toxiproxy, ToxiproxyError
from links import LinkSpec
from links.process import LinksProcess

SERVE = """
from chaos import toxiproxy
from links.process import serve

async def extra(engine):
    _, address = await toxiproxy.start(engine)
    return {"toxiproxy": address}

serve(extra=extra)
"""
NAME = f"{PREFIX}1-latency"


@pytest.fixture(scope="module")
def links():
    process = LinksProcess(argv=[sys.executable, "-c", SERVE])
    process.start()
    for name in ("sql-us-to-eu-a", "fdw-us-to-eu"):
        process.control.add(LinkSpec(name=name, upstream="127.0.0.1:9"))
    yield process
    process.stop()


@pytest.fixture
def toxiproxy(links):
    client = Toxiproxy(links.info["toxiproxy"])
    yield client
    client.remove_named("")


def put(toxiproxy, proxy, name=NAME):
    attributes = {"latency": 400, "jitter": 50}
    return toxiproxy.add(proxy, name=name, type_="latency", attributes=attributes)


def test_a_toxic_is_on_and_off_again(toxiproxy, links):
    """What the API was told is what the engine has."""
    placed = put(toxiproxy, "fdw-us-to-eu")
    engine = {link.name: link for link in links.control.list()}
    toxic = engine["fdw-us-to-eu"].toxics[0]

    assert toxiproxy.placed() == [placed]
    assert (toxic.type, toxic.stream) == ("latency", "downstream")
    toxiproxy.remove(placed)
    assert toxiproxy.placed() == []


def test_removing_twice_is_no_error(toxiproxy):
    """Rollback, guard and runner may all have tidied up."""
    toxiproxy.remove(Placed(proxy="fdw-us-to-eu", toxic="never-was"))


def test_only_ours_are_removed(toxiproxy):
    """Somebody else's toxic is theirs."""
    put(toxiproxy, "fdw-us-to-eu")
    put(toxiproxy, "sql-us-to-eu-a", name="theirs")

    assert len(toxiproxy.remove_named(PREFIX)) == 1
    assert [one.toxic for one in toxiproxy.placed()] == ["theirs"]


def test_an_unknown_proxy_is_told(toxiproxy):
    """With the status that the API gave."""
    with pytest.raises(ToxiproxyError, match="proxy not found") as raised:
        put(toxiproxy, "nowhere")

    assert raised.value.status == 404


def test_no_answer_is_told():
    """With the address that was tried."""
    with pytest.raises(ToxiproxyError, match=r"127\.0\.0\.1:1 does not answer"):
        Toxiproxy("http://127.0.0.1:1").placed()


def test_only_http_is_spoken():
    """A file is no API."""
    with pytest.raises(ToxiproxyError, match="not an http address"):
        Toxiproxy("file:///etc/passwd").placed()


def test_the_guard_removes_what_is_left(toxiproxy):
    """Dismissed, it looks once more."""
    guard = Guard(toxiproxy.url, PREFIX)
    put(toxiproxy, "fdw-us-to-eu")

    assert guard.dismiss()
    assert toxiproxy.placed() == []


HURT = """
import signal, sys, time
from chaos.guard import Guard
from chaos.toxics import PREFIX, Toxiproxy

# Whoever runs the tests in the background may have had the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
guard = Guard(sys.argv[1], PREFIX)
Toxiproxy(sys.argv[1]).add("fdw-us-to-eu", name=PREFIX + "x", type_="latency",
                           attributes={"latency": 400})
print("on", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_fault_is_off_when_its_maker_is_killed(toxiproxy, number):
    """Whichever way the process goes, the toxic goes with it."""
    with subprocess.Popen(
        [sys.executable, "-c", HURT, toxiproxy.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as maker:
        assert maker.stdout.readline() == b"on\n"
        assert len(toxiproxy.placed()) == 1
        os.kill(maker.pid, number)
        try:
            maker.wait(10)
        finally:
            maker.kill()

    give_up = time.monotonic() + 8
    while toxiproxy.placed() and time.monotonic() < give_up:
        time.sleep(0.05)
    assert toxiproxy.placed() == []
