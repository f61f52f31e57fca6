import asyncio
import contextlib

import aiohttp
import pytest

from chaos import toxiproxy
from links import Engine, LinkSpec

UPSTREAM = "127.0.0.1:9"


@pytest.fixture
async def engine():
    """An engine that is closed again."""
    engine = Engine()
    yield engine
    await engine.close()


@pytest.fixture
async def call(engine):
    """Calls the API of `engine`; gives the status and the body."""
    runner, url = await toxiproxy.start(engine)
    async with aiohttp.ClientSession(url) as session:

        async def request(method, path, body=None, **options):
            if body is not None:
                options["json"] = body
            async with session.request(method, path, **options) as answer:
                if answer.status == 204:
                    return 204, await answer.read()
                return answer.status, await answer.json(content_type=None)

        request.session = session
        yield request
    await runner.cleanup()


@pytest.fixture
async def shop(call):
    """A proxy called shop."""
    status, body = await call(
        "POST", "/proxies", {"name": "shop", "upstream": UPSTREAM}
    )
    assert status == 201
    return body


def error(status, text):
    return status, {"error": text, "status": status}


async def test_a_proxy_is_created_listed_shown_and_deleted(call):
    """Creation answers 201 with the resolved address, deletion 204."""
    wanted = {"name": "shop", "listen": "localhost:0", "upstream": UPSTREAM}
    status, created = await call("POST", "/proxies", wanted)
    host, port = created.pop("listen").split(":")

    assert status == 201
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert created == {
        "name": "shop",
        "upstream": UPSTREAM,
        "enabled": True,
        "toxics": [],
    }

    created["listen"] = f"{host}:{port}"

    assert await call("GET", "/proxies") == (200, {"shop": created})
    assert await call("GET", "/proxies/shop") == (200, created)
    assert await call("DELETE", "/proxies/shop") == (204, b"")
    assert await call("GET", "/proxies/shop") == error(404, "proxy not found")
    assert await call("DELETE", "/proxies/shop") == error(404, "proxy not found")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"upstream": UPSTREAM}, 400, "missing required field: name"),
        ({"name": "a"}, 400, "missing required field: upstream"),
        ({"name": "shop", "upstream": UPSTREAM}, 409, "proxy already exists"),
        ({"name": 1, "upstream": UPSTREAM}, 400, "bad request body: name is not"),
        ([], 400, "bad request body: "),
        ({"name": "a", "upstream": "b"}, 400, "bad request body: "),
        ({"name": "a", "upstream": UPSTREAM, "enabled": "yes"}, 400, "bad request bo"),
    ],
)
@pytest.mark.usefixtures("shop")
async def test_a_bad_proxy_is_refused(call, body, status, text):
    """Each fault of a request has Toxiproxy's status and words."""
    got, answer = await call("POST", "/proxies", body)

    assert got == status == answer["status"]
    assert answer["error"].startswith(text)


async def test_a_taken_port_is_an_error_of_the_server(call, shop):
    """A bind that fails answers 500 and leaves nothing behind."""
    body = {"name": "other", "upstream": UPSTREAM, "listen": shop["listen"]}
    status, answer = await call("POST", "/proxies", body)

    assert status == 500
    assert "in use" in answer["error"]
    assert list((await call("GET", "/proxies"))[1]) == ["shop"]


@pytest.mark.parametrize("method", ["PATCH", "POST"])
async def test_a_proxy_is_toggled_and_moved(call, shop, method):
    """Toxics and the address survive a toggle; both ends can be moved."""
    await call("POST", "/proxies/shop/toxics", {"type": "noop"})
    status, off = await call(method, "/proxies/shop", {"enabled": False})

    assert (status, off["enabled"], off["listen"]) == (200, False, shop["listen"])

    _, on = await call(method, "/proxies/shop", {"enabled": True})

    assert (on["enabled"], on["listen"]) == (True, shop["listen"])
    assert [toxic["name"] for toxic in on["toxics"]] == ["noop_downstream"]

    moved = {"listen": "127.0.0.1:0", "upstream": "127.0.0.1:10"}
    _, there = await call(method, "/proxies/shop", moved)

    assert there["upstream"] == "127.0.0.1:10"
    assert there["listen"] != shop["listen"]
    assert await call(method, "/proxies/none", {}) == error(404, "proxy not found")

    status, _ = await call(method, "/proxies/shop", {"enabled": 1})

    assert status == 400


async def test_a_proxy_can_be_created_disabled(call):
    """A disabled proxy keeps the address as it was asked for."""
    wanted = {"name": "off", "upstream": UPSTREAM, "enabled": False}
    wanted["listen"] = "localhost:0"
    status, created = await call("POST", "/proxies", wanted)

    assert (status, created["listen"]) == (201, "localhost:0")


@pytest.mark.usefixtures("shop")
async def test_a_toxic_is_created_shown_changed_and_deleted(call):
    """A new toxic answers 200; an update merges and cannot rename."""
    wanted = {"type": "latency", "attributes": {"latency": 100}}
    expected = {
        "attributes": {"latency": 100, "jitter": 0},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
    }
    path = "/proxies/shop/toxics"

    assert await call("POST", path, wanted) == (200, expected)
    assert await call("GET", path) == (200, [expected])
    assert await call("GET", f"{path}/latency_downstream") == (200, expected)

    change = {"name": "x", "stream": "upstream", "attributes": {"jitter": 5}}
    expected |= {"attributes": {"latency": 100, "jitter": 5}, "toxicity": 0.5}
    for method in ("PATCH", "POST"):
        answer = await call(
            method, f"{path}/latency_downstream", change | {"toxicity": 0.5}
        )

        assert answer == (200, expected)

    assert await call("DELETE", f"{path}/latency_downstream") == (204, b"")
    for method in ("GET", "DELETE", "PATCH"):
        answer = await call(method, f"{path}/latency_downstream")

        assert answer == error(404, "toxic not found")


@pytest.mark.usefixtures("shop")
async def test_toxics_are_listed_upstream_first(call):
    """The chain that the client's bytes take comes before the other one."""
    path = "/proxies/shop/toxics"
    for name, stream in [("a", "downstream"), ("b", "upstream"), ("c", "DOWNSTREAM")]:
        toxic = {"type": "slicer", "name": name, "stream": stream}
        await call("POST", path, toxic)

    assert [toxic["name"] for toxic in (await call("GET", path))[1]] == list("bac")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"type": "lag"}, 400, "invalid toxic type"),
        ({}, 400, "invalid toxic type"),
        (
            {"type": "latency", "stream": "sideways"},
            400,
            "stream was invalid, can be either upstream or downstream",
        ),
        ({"type": "noop", "stream": "upstream"}, 409, "toxic already exists"),
        ({"type": "latency", "toxicity": "1"}, 400, "bad request body: toxicity"),
        ({"type": "latency", "attributes": {"latency": 1.5}}, 400, "bad request body:"),
        ({"type": "latency", "attributes": []}, 400, "bad request body:"),
    ],
)
@pytest.mark.usefixtures("shop")
async def test_a_bad_toxic_is_refused(call, body, status, text):
    """Each fault of a toxic has Toxiproxy's status and words."""
    path = "/proxies/shop/toxics"
    await call("POST", path, {"type": "noop", "name": "noop_upstream"})
    got, answer = await call("POST", path, body)

    assert got == status == answer["status"]
    assert answer["error"].startswith(text)


async def test_toxics_of_an_unknown_proxy_are_not_found(call):
    """The proxy is looked for first."""
    for method in ("GET", "POST"):
        answer = await call(method, "/proxies/none/toxics")

        assert answer == error(404, "proxy not found")


@pytest.mark.usefixtures("shop")
async def test_bodies_that_are_not_json_are_refused(call):
    """Nothing and nonsense are bad request bodies."""
    for path in ("/proxies", "/populate", "/proxies/shop", "/proxies/shop/toxics"):
        for data in (b"", b"{", b"nonsense"):
            status, answer = await call("POST", path, data=data)

            assert status == 400
            assert answer["error"].startswith("bad request body: ")


async def test_populate_keeps_what_is_equal_and_replaces_what_is_not(call, shop):
    """Equal proxies keep their toxics, others are made anew."""
    await call("POST", "/proxies/shop/toxics", {"type": "noop"})
    same = {"name": "shop", "listen": shop["listen"], "upstream": UPSTREAM}
    status, body = await call(
        "POST", "/populate", [same, {"name": "b", "upstream": UPSTREAM}]
    )

    assert status == 201
    assert [proxy["name"] for proxy in body["proxies"]] == ["shop", "b"]
    assert len(body["proxies"][0]["toxics"]) == 1

    _, body = await call("POST", "/populate", [same | {"upstream": "127.0.0.1:10"}])

    assert body["proxies"][0]["toxics"] == []
    assert body["proxies"][0]["upstream"] == "127.0.0.1:10"


async def test_a_bad_populate_creates_nothing(call):
    """The number of the proxy that lacks a field is told, counted from 1."""
    wanted = [{"name": "a", "upstream": UPSTREAM}, {"upstream": UPSTREAM}]

    assert await call("POST", "/populate", wanted) == error(
        400, "missing required field: name at proxy 2"
    )
    assert await call("GET", "/proxies") == (200, {})

    status, _ = await call("POST", "/populate", {"name": "a"})

    assert status == 400


async def test_a_populate_that_fails_later_keeps_the_earlier(call, shop):
    """A bind error tells which proxies are there."""
    wanted = [
        {"name": "a", "upstream": UPSTREAM},
        {"name": "b", "upstream": UPSTREAM, "listen": shop["listen"]},
    ]
    status, body = await call("POST", "/populate", wanted)

    assert status == body["status"] == 500
    assert [proxy["name"] for proxy in body["proxies"]] == ["a"]
    assert sorted((await call("GET", "/proxies"))[1]) == ["a", "shop"]


async def test_reset_takes_toxics_off_and_leaves_the_distance(call, engine):
    """After a reset a link is enabled and clean, and as far as before."""
    spec = LinkSpec(
        name="wan", upstream=UPSTREAM, rtt_ms=80, protocol="postgres", fold=True
    )
    link = await engine.add(spec)
    await call("POST", "/proxies/wan/toxics", {"type": "latency"})
    await call("POST", "/proxies/wan", {"enabled": False})

    assert await call("POST", "/reset") == (204, b"")
    assert link.enabled
    assert link.toxics == ()
    assert link.spec == spec

    moved = {"name": "wan", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:10"}
    await call("POST", "/populate", [moved])

    assert engine.get("wan").spec.rtt_ms == 80
    assert engine.get("wan").spec.fold


async def test_version_is_told(call):
    """The version is the one whose API this is, with Toxiproxy's content type."""
    async with call.session.get("/version") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
        assert await answer.json() == {"version": "2.12.0"}


async def test_errors_look_as_go_writes_them(call):
    """Errors are plain text to the browser and carry an id of the request."""
    async with call.session.get("/proxies/none") as answer:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Toxiproxy-Request-Id"]
        assert (await answer.text()).endswith("}\n")
    for path in ("/nowhere", "/metrics"):
        async with call.session.get(path) as answer:
            assert answer.status == 404
            assert await answer.text() == "404 page not found\n"
    async with call.session.put("/proxies") as answer:
        assert answer.status == 405


async def test_browsers_are_kept_out(call):
    """A web page cannot inject faults through its visitor's browser."""
    agent = {"User-Agent": "Mozilla/5.0"}
    async with call.session.post("/reset", headers=agent) as answer:
        assert answer.status == 403
        assert await answer.text() == "User agent not allowed\n"


async def test_a_delete_under_traffic_never_hangs(call, engine):
    """Toxics that hold everything come off at once, and what they held arrives."""

    async def echo(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.transport.abort()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = await engine.add(LinkSpec(name="busy", upstream=f"127.0.0.1:{port}"))
    reader, writer = await asyncio.open_connection(*link.listen.split(":"))
    path = "/proxies/busy/toxics"
    for toxic in (
        {"type": "bandwidth", "attributes": {"rate": 0}},
        {"type": "latency", "stream": "upstream", "attributes": {"latency": 60000}},
    ):
        await call("POST", path, toxic)
    writer.write(bytes(500_000))
    await writer.drain()
    async with asyncio.timeout(5):
        await call("DELETE", f"{path}/latency_upstream")
        await call("DELETE", f"{path}/bandwidth_downstream")
        heard = await reader.readexactly(500_000)

    assert heard == bytes(500_000)

    writer.transport.abort()
    server.close()
    await engine.close()
