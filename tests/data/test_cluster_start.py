"""Starts that go wrong, and ends that come without warning."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg
import pytest

from cockroach.embedded import (
    BinariesMissingError,
    ClusterInUseError,
    DataDirectoryError,
    DiskFullError,
    EmbeddedCluster,
    PortTakenError,
    account,
    state,
)
from cockroach.embedded.binaries import find
from links.process import LinksProcess

NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can step down")

PROGRAM = """
import json, os, sys, time
from pathlib import Path
from cockroach.embedded import EmbeddedCluster
from links.process import LinksProcess

links = LinksProcess().start()
cluster = EmbeddedCluster(Path(sys.argv[1]), links=links.control, rtt_scale=0.02)
cluster.start()
pids = {**cluster.pids(), "links": links.pid}
print(json.dumps({"pids": pids, "uid": os.geteuid()}), flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
cluster.stop()
links.stop()
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """Give a directory whose parents everybody may pass."""
    path = Path(tempfile.mkdtemp(prefix="seawall-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _until(condition: Callable[[], bool], bound: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < bound
        time.sleep(0.01)
    return time.monotonic() - started


def _gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def _count_customers(dsn: str) -> int:
    with psycopg.connect(dsn) as session:
        row = session.execute("select count(*) from customers_eu").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("watched", [True, False])
def test_nothing_survives_kill_9_and_the_data_is_used_again(
    root: Path, *, watched: bool
) -> None:
    """Servers and links end within a second of their parent; the data recovers.

    Where the watcher was killed too, the next start ends the servers.
    """
    home = root / "cluster"
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home), "wait"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    pids = json.loads(child.stdout.readline())["pids"]
    servers = {n: p for n, p in pids.items() if n in {"us", "eu", "asia"}}
    family = {
        one.pid for pid in servers.values() for one in psutil.Process(pid).children()
    }
    if not watched:
        os.kill(pids["watcher"], signal.SIGKILL)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    everything = family | set(pids.values())
    if watched:
        took = _until(lambda: all(map(_gone, everything)), 5.0)
        assert took < 1.5
    with _other_links() as links:
        again = EmbeddedCluster(home, links=links.control, rtt_scale=0.02)
        with again:
            assert _count_customers(again.admin_dsn("eu")) == 300
    assert len(family) > 10
    assert all(map(_gone, everything))


@contextlib.contextmanager
def _other_links() -> Iterator[LinksProcess]:
    # The session's cluster holds the names in the session's links.
    with LinksProcess() as process:
        yield process


@AS_ROOT
async def test_an_account_is_become_beside_busy_grpc() -> None:
    """A fork of a process that uses gRPC breaks one child in thirty; none may break."""
    user = account.Account(name="nobody", uid=NOBODY, gid=NOBODY)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    echo = Path(shutil.which("echo") or "/bin/echo")

    def become() -> list[tuple[int, str, str]]:
        done = [
            subprocess.run(
                user.command(echo, "hi"),
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
                cwd="/",
            )
            for _ in range(120)
        ]
        return [(one.returncode, one.stdout, one.stderr) for one in done]

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/test/Echo")
        told = asyncio.create_task(asyncio.to_thread(become))
        while not told.done():
            await call(b"")
    await server.stop(0)

    assert set(told.result()) == {(0, "hi\n", "")}


class _Echo(grpc.GenericRpcHandler):
    def service(self, call: Any) -> grpc.RpcMethodHandler[Any, Any]:
        async def echo(request: bytes, context: Any) -> bytes:
            return request

        return grpc.unary_unary_rpc_method_handler(echo)


@AS_ROOT
def test_an_ordinary_user_runs_the_servers_itself(root: Path) -> None:
    """Without root nothing changes hands and everything works."""
    os.chown(root, NOBODY, NOBODY)
    interpreter = Path(sys.executable)
    user = account.Account(name="nobody", uid=NOBODY, gid=NOBODY)
    if not user.can_run(interpreter):
        # Ours may lie below a closed directory: be an ordinary user in name only.
        os.chown(root, 0, 0)
        found = account.namespace_account()
        if found is None or not found.can_run(interpreter):
            pytest.skip("the interpreter is closed to other users")
        user = found
    done = subprocess.run(
        user.command(interpreter, "-c", PROGRAM, root / "cluster", "stop"),
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        cwd=Path(__file__).parents[2],
        env={"HOME": str(root), "PATH": os.environ["PATH"]},
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["uid"] == NOBODY
    assert not list(root.glob("cluster/servers/*/postmaster.pid"))


@pytest.fixture
def closed_install(root: Path) -> Path:
    """Copy PostgreSQL into a virtual environment that other users cannot read."""
    install = find().bindir.parent
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    packages = closed / "site-packages"
    target = packages / install.parent.name / install.name
    shutil.copytree(install, target, symlinks=True, copy_function=_link_or_copy)
    for libraries in install.parent.parent.glob("*postgres*.libs"):
        shutil.copytree(libraries, packages / libraries.name)
    return target / "bin"


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@AS_ROOT
def test_a_user_namespace_reads_a_closed_virtual_environment(
    root: Path, closed_install: Path
) -> None:
    """Root runs programs and data below mode 0700 without opening them to anybody."""
    space = account.namespace_account()
    if space is None or not space.can_run(closed_install / "postgres"):
        pytest.skip("user namespaces are refused here")
    with (
        _other_links() as links,
        EmbeddedCluster(
            root / "closed" / "cluster",
            links=links.control,
            rtt_scale=0.02,
            bindir=closed_install,
        ) as cluster,
    ):
        assert _count_customers(cluster.admin_dsn("eu")) == 300
        assert not list(Path(tempfile.gettempdir()).glob("seawall-data-*"))


@AS_ROOT
def test_a_closed_virtual_environment_is_copied_where_namespaces_are_refused(
    root: Path, closed_install: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root steps down, with programs and data where the account can reach them."""
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    accounts = list(account.step_down_accounts())
    with (
        _other_links() as links,
        EmbeddedCluster(
            root / "closed" / "cluster",
            links=links.control,
            rtt_scale=0.02,
            bindir=closed_install,
            accounts=accounts,
        ) as cluster,
    ):
        assert _count_customers(cluster.admin_dsn("eu")) == 300
        owner = psutil.Process(cluster.pids()["us"]).uids().real
        assert owner == accounts[0].uid


def test_a_taken_port_is_named(root: Path, wan_process: LinksProcess) -> None:
    """The message tells which port; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        cluster = EmbeddedCluster(
            root / "cluster", links=wan_process.control, ports=(port, 1, 2)
        )
        with pytest.raises(PortTakenError, match=str(port)):
            cluster.start()
    assert cluster.pids() == {}


def test_a_disk_without_room_is_told_before_anything_is_written(
    root: Path, wan_process: LinksProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message tells how much is free and how much is needed."""
    usage = shutil.disk_usage(root)._replace(free=10 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    cluster = EmbeddedCluster(root / "cluster", links=wan_process.control)
    with pytest.raises(DiskFullError, match="10 MB free and the cluster needs"):
        cluster.start()


@AS_ROOT
def test_a_disk_that_fills_while_starting_is_told(
    root: Path, wan_process: LinksProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that runs full under initdb ends in the same clear error."""
    monkeypatch.setattr(state.State, "require_room", lambda *_: None)
    disk = root / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m,mode=0755", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("cannot mount a small file system here")
    try:
        cluster = EmbeddedCluster(disk / "cluster", links=wan_process.control)
        with pytest.raises(DiskFullError, match="no space left"):
            cluster.start()
        assert not list(disk.glob("cluster/servers/*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_directory_of_somebody_else_is_not_touched(
    root: Path, wan_process: LinksProcess
) -> None:
    """A directory with files that are not ours is refused and stays as it is."""
    (root / "thesis.txt").write_text("three years of work")
    with pytest.raises(DataDirectoryError, match="holds files"):
        EmbeddedCluster(root, links=wan_process.control).start()

    assert [p.name for p in root.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("postgres", 9, "PostgreSQL 9"),
        ("revision", "0000", "schema revision 0000"),
        ("seed", 1, "seed 1"),
        ("format", 0, "layout 0"),
    ],
)
def test_old_data_of_another_version_is_named(
    root: Path, wan_process: LinksProcess, name: str, value: object, told: str
) -> None:
    """Data of another PostgreSQL, schema or seed is refused with what to do."""
    home = root / "cluster"
    cluster = EmbeddedCluster(home, links=wan_process.control)
    ours = {"format": 1, "postgres": find().major, "revision": "0001"}
    ours["seed"] = cluster._seed
    home.mkdir()
    (home / ".seawall-cluster").touch()
    (home / "cluster.json").write_text(json.dumps(ours | {name: value}))

    with pytest.raises(DataDirectoryError, match=told):
        cluster.start()


def test_a_missing_postgresql_tells_where_it_looked(
    root: Path, wan_process: LinksProcess
) -> None:
    """A named directory without programs is refused by name."""
    cluster = EmbeddedCluster(root / "c", links=wan_process.control, bindir=root)
    with pytest.raises(BinariesMissingError, match="has no postgres"):
        cluster.start()


def test_two_clusters_run_side_by_side_but_not_in_one_directory(
    cluster: EmbeddedCluster, root: Path
) -> None:
    """A second cluster elsewhere is fine; on the same data it is told who has it."""
    with (
        _other_links() as links,
        EmbeddedCluster(root / "second", links=links.control, rtt_scale=0.02) as second,
    ):
        assert _count_customers(second.admin_dsn("eu")) == 300
        assert _count_customers(cluster.admin_dsn("eu")) == 300
        third = EmbeddedCluster(root / "second", links=links.control)
        with pytest.raises(ClusterInUseError, match=str(os.getpid())):
            third.start()
        assert _count_customers(second.admin_dsn("eu")) == 300


def test_a_half_made_directory_is_made_anew(root: Path) -> None:
    """What a killed first start left behind does not stand in the way."""
    home = root / "cluster"
    (home / "servers" / "us" / "base").mkdir(parents=True)
    (home / "servers" / "us" / "PG_VERSION").write_text("18")
    (home / ".seawall-cluster").touch()
    with (
        _other_links() as links,
        EmbeddedCluster(home, links=links.control, rtt_scale=0.02) as made,
    ):
        assert _count_customers(made.admin_dsn("eu")) == 300
