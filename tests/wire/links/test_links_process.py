import json
import os
import signal
import socket
import subprocess
import sys
import threading

import psutil
import pytest

from links import LinkSpec
from links.control import LinkControl
from links.errors import (
    BadAttributesError,
    ControlError,
    LinkExistsError,
    UnknownLinkError,
)
from links.process import LinksProcess


@pytest.fixture(scope="module")
def process():
    """One process with an engine for all tests here."""
    with LinksProcess() as process:
        yield process


@pytest.fixture
def upstream():
    """The address of a server that says what it hears, once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(connection.recv(100))

    thread = threading.Thread(target=run)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def say(address, words=b"hello"):
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(words)
        return connection.recv(100)


def test_orders_reach_the_engine(process, upstream):
    """A link is added, told of, counted, switched, led elsewhere and removed."""
    control = process.control
    spec = LinkSpec(name="one", upstream=upstream, kind="sql", source="us", target="eu")
    address = control.add(spec)

    assert say(address) == b"hello"
    assert control.stats()["one"].bytes_up == 5
    (info,) = control.list()
    assert (info.name, info.spec, info.listen, info.enabled) == (
        "one",
        spec,
        address,
        True,
    )

    control.disable("one")
    with pytest.raises(ConnectionRefusedError):
        say(address)
    control.enable("one")
    control.retarget("one", "127.0.0.1:1")
    with pytest.raises(ConnectionResetError):
        say(address)
    control.remove("one")

    assert control.list() == []


def test_toxics_are_ordered_from_afar(process, upstream):
    """A toxic is added, seen, changed and removed over the control line."""
    control = process.control
    control.add(LinkSpec(name="two", upstream=upstream))
    control.toxic_add("two", "latency", toxic="slow", attributes={"latency": 5})
    control.toxic_update("two", "slow", attributes={"jitter": 2}, toxicity=0.5)
    (toxic,) = control.list()[0].toxics

    assert toxic.to_json() == {
        "attributes": {"latency": 5, "jitter": 2},
        "name": "slow",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 0.5,
    }

    control.toxic_remove("two", "slow")

    assert control.list()[0].toxics == ()

    control.remove("two")


def test_errors_come_back_as_they_were_raised(process, upstream):
    """Each refusal has its class on this side too, and the line goes on."""
    control = process.control
    address = control.add(LinkSpec(name="three", upstream=upstream))
    with pytest.raises(LinkExistsError, match="three"):
        control.add(LinkSpec(name="three", upstream=upstream))
    with pytest.raises(UnknownLinkError):
        control.enable("four")
    with pytest.raises(BadAttributesError):
        control.toxic_add("three", "latency", attributes={"lateness": 1})
    with pytest.raises(OSError, match="in use"):
        control.add(LinkSpec(name="four", upstream=upstream, listen=address))
    with pytest.raises(ControlError, match="unknown operation"):
        control._ask("dance")
    with pytest.raises(ControlError, match="bad order"):
        control._ask("remove")

    control.remove("three")


def test_threads_share_one_line(process, upstream):
    """Orders from many threads do not mix."""
    failures = []

    def work(number):
        try:
            name = f"thread-{number}"
            control = process.control
            control.add(LinkSpec(name=name, upstream=upstream))
            assert name in control.stats()
            control.remove(name)
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_links_given_on_the_command_line_are_there(tmp_path, upstream):
    """A file of specs is added before the process says that it is ready."""
    path = tmp_path / "links.json"
    path.write_text(json.dumps([LinkSpec(name="given", upstream=upstream).to_json()]))
    argv = [sys.executable, "-m", "links", "--links", str(path), "--seed", "3"]
    with LinksProcess(argv) as process:
        (info,) = process.control.list()

        assert say(info.listen) == b"hello"


def test_sigint_is_left_to_the_parent_and_sigterm_ends_it():
    """Ctrl-C does not end the process, SIGTERM does, with exit code 0."""
    process = LinksProcess().start()
    os.kill(process.pid, signal.SIGINT)

    assert process.control.list() == []

    os.kill(process.pid, signal.SIGTERM)

    assert process._process.wait(5) == 0

    with pytest.raises(ControlError):
        process.control.list()
    process.stop()


def test_it_dies_with_a_parent_that_is_killed():
    """After `kill -9` of its parent the process is gone within a second."""
    program = (
        "from links.process import LinksProcess; import time\n"
        "print(LinksProcess().start().pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    # Where nobody reaps orphans it stays a zombie, which carries no links.
    gone, alive = psutil.wait_procs([child], timeout=1)

    assert gone or child.status() == psutil.STATUS_ZOMBIE, alive


@pytest.mark.parametrize(
    ("program", "message"),
    [("raise SystemExit(3)", "ended: 3"), ("import time; time.sleep(60)", "in time")],
)
def test_a_process_that_is_not_ready_is_told_of(program, message):
    """A child that ends or says nothing raises, and is not left behind."""
    process = LinksProcess([sys.executable, "-c", program], timeout=0.5)
    with pytest.raises(ControlError, match=message):
        process.start()

    assert process.poll() is None
    with pytest.raises(ControlError, match="not started"):
        _ = process.control


def test_an_engine_that_is_not_there_is_told_of():
    """A control line to nowhere raises ControlError with the address."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(ControlError, match=address):
        LinkControl(address).list()
