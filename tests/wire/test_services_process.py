"""Service processes as others see them: started, told to leave, told nonsense."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cockroach.topology import DatabaseTarget, Gateway
from lab import profiles
from protos.shop.v1 import catalog_pb2, catalog_pb2_grpc
from protos.shop.v1 import storefront_pb2 as pb
from protos.shop.v1 import storefront_pb2_grpc as pb_grpc
from services.runtime.testing import environment

CURED = profiles.values(profiles.cures_of("cured"))
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# Nobody listens there: a storefront starts all the same.
NOWHERE = DatabaseTarget(
    flavour="embedded",
    dbname="shop",
    user="app",
    password="",
    gateways=(Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=9),),
)
PEERS = ("cart", "inventory", "orders", "recommendations")


class SlowCatalog(catalog_pb2_grpc.CatalogServicer):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def ListProducts(self, request, context):  # noqa: N802
        self.asked.set()
        await self.answer.wait()
        return catalog_pb2.ListProductsResponse(
            products=[catalog_pb2.Product(product_id="P0001")]
        )


SlowCatalog.__abstractmethods__ = frozenset()


@pytest.fixture
async def catalog() -> AsyncIterator[tuple[SlowCatalog, str]]:
    servicer, server = SlowCatalog(), grpc.aio.server()
    catalog_pb2_grpc.add_CatalogServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, f"127.0.0.1:{port}"
    await server.stop(None)


async def start(environ: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *(arguments or ("-m", f"services.{environ['SHOP_SERVICE']}")),
        env={**os.environ, **environ},
        stderr=asyncio.subprocess.PIPE,
    )


async def address_of(child: asyncio.subprocess.Process) -> str:
    """Wait for the log line that tells where a child listens."""
    while line := (await asyncio.wait_for(child.stderr.readline(), 20)).decode():
        message = json.loads(line)["message"]
        if message.startswith("serving on "):
            return message.removeprefix("serving on ")
    raise AssertionError("the process ended before it served")


async def exit_code(child: asyncio.subprocess.Process) -> tuple[int, str]:
    _, said = await asyncio.wait_for(child.communicate(), 20)
    return child.returncode, said.decode()


def stopped(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT])
async def test_a_drain_finishes_what_runs_and_refuses_what_comes(
    catalog, tmp_path: Path, order: signal.Signals
):
    """Told to leave: the running call is answered, new ones refused, exit code 0."""
    servicer, address = catalog
    environ = environment(
        "storefront",
        tmp_path,
        policies=CURED,
        database=NOWHERE,
        peers={one: {"eu": ["127.0.0.1:9"]} for one in PEERS}
        | {"catalog": {"eu": [address]}},
    )
    child = await start(environ)
    try:
        target = await address_of(child)
        async with (
            grpc.aio.insecure_channel(target) as channel,
            grpc.aio.insecure_channel(
                target, options=[("grpc.use_local_subchannel_pool", 1)]
            ) as late,
        ):
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest()
            )
            healthy = await watch.read()
            running = asyncio.ensure_future(
                pb_grpc.StorefrontStub(channel).Browse(pb.BrowseRequest()).code()
            )
            await asyncio.wait_for(servicer.asked.wait(), 10)

            child.send_signal(order)
            drained = await asyncio.wait_for(watch.read(), 10)
            # What comes between the news and the closed door is still let in.
            refused, until = None, asyncio.get_running_loop().time() + 10
            while refused is not grpc.StatusCode.UNAVAILABLE:
                assert asyncio.get_running_loop().time() < until, refused
                refused = (
                    await pb_grpc.StorefrontStub(late)
                    .Browse(pb.BrowseRequest(), timeout=0.5)
                    .code()
                )
            still_running = not running.done()
            servicer.answer.set()

            assert healthy.status != NOT_SERVING
            assert drained.status == NOT_SERVING
            assert still_running
            assert await running is grpc.StatusCode.OK
        assert (await exit_code(child))[0] == 0
    finally:
        stopped(child)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SHOP_LISTNE": "x"}, "unknown setting SHOP_LISTNE"),
        ({"SHOP_POLICIES": "/nowhere.json"}, "/nowhere.json: No such file"),
        ({"SHOP_PEERS": "/nowhere.json"}, "/nowhere.json: No such file"),
        ({"SHOP_TLS_CERT": "/a"}, "go together"),
    ],
)
async def test_a_process_told_nonsense_says_so_and_exits_2(
    tmp_path: Path, change, said
):
    """A wrong setting is one clear line and exit code 2, not a stack trace."""
    environ = environment("acquirer", tmp_path, policies=CURED) | change
    code, words = await exit_code(await start(environ))

    assert code == 2
    assert said in words.splitlines()[-1]
    assert "Traceback" not in words


async def test_a_taken_port_is_one_line_and_exit_2(catalog, tmp_path: Path):
    """A process that cannot listen names the address."""
    _, address = catalog
    environ = environment("acquirer", tmp_path, policies=CURED, LISTEN=address)
    code, words = await exit_code(await start(environ))

    assert code == 2
    assert f"cannot listen on {address}" in words


ORPHAN = """
import multiprocessing as mp, os, pathlib, sys, time
from services.runtime.main import run
if __name__ == "__main__":
    context = mp.get_context("spawn")
    child = context.Process(target=run, args=("acquirer", dict(os.environ)))
    child.start()
    pathlib.Path(sys.argv[1]).write_text(str(child.pid))
    time.sleep(60)
"""


async def test_a_child_whose_parent_is_killed_is_gone_at_once(tmp_path: Path):
    """No service outlives the process that started it, not even after a SIGKILL."""
    script, pid, log = (tmp_path / name for name in ("parent.py", "pid", "log.jsonl"))
    script.write_text(ORPHAN)
    environ = environment("acquirer", tmp_path, policies=CURED, LOG_FILE=str(log))
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(pid), env={**os.environ, **environ}
    )
    try:
        await until(lambda: log.exists() and "serving on" in log.read_text(), 20)
        parent.kill()
        await parent.wait()
        await until(lambda: not alive(int(pid.read_text())), 2)
    finally:
        stopped(parent)
        await parent.wait()


async def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # A zombie waits for somebody to ask how it ended; it holds nothing.
    return stat.rpartition(")")[2].split()[0] != "Z"
