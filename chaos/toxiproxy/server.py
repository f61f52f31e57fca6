"""The HTTP server: routes, and what every answer has in common."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from chaos.toxiproxy import handlers, replies
from links import Engine

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PROXY = "/proxies/{proxy}"
_TOXIC = "/proxies/{proxy}/toxics/{toxic}"


def application(engine: Engine) -> web.Application:
    """Build the application over `engine`."""
    app = web.Application(middlewares=[_answers])
    app[handlers.ENGINE] = engine
    app.add_routes(
        [
            web.get("/proxies", handlers.list_proxies),
            web.post("/proxies", handlers.create_proxy),
            web.post("/populate", handlers.populate),
            web.get(_PROXY, handlers.show_proxy),
            web.patch(_PROXY, handlers.update_proxy),
            web.post(_PROXY, handlers.update_proxy),  # as clients before 2.6 do
            web.delete(_PROXY, handlers.delete_proxy),
            web.get(f"{_PROXY}/toxics", handlers.list_toxics),
            web.post(f"{_PROXY}/toxics", handlers.create_toxic),
            web.get(_TOXIC, handlers.show_toxic),
            web.patch(_TOXIC, handlers.update_toxic),
            web.post(_TOXIC, handlers.update_toxic),
            web.delete(_TOXIC, handlers.delete_toxic),
            web.post("/reset", handlers.reset),
            web.get("/version", handlers.version),
        ]
    )
    return app


async def start(
    engine: Engine, host: str = "127.0.0.1", port: int = 0
) -> tuple[web.AppRunner, str]:
    """Serve the API on the running loop; gives the runner and the URL.

    The caller ends it with `await runner.cleanup()`.
    Raises OSError when the port is taken.
    """
    runner = web.AppRunner(application(engine), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, f"http://{host}:{runner.addresses[0][1]}"


@web.middleware
async def _answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    answer = await _answer(request, handler)
    answer.headers["X-Toxiproxy-Request-Id"] = secrets.token_hex(10)
    return answer


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    # Browsers are kept out, lest a web page injects faults (as Toxiproxy has it).
    if request.headers.get("User-Agent", "").startswith("Mozilla/"):
        return replies.plain(403, "User agent not allowed")
    try:
        return await handler(request)
    except replies.ApiError as error:
        return replies.failure(error)
    except web.HTTPNotFound:
        return replies.plain(404, "404 page not found")
    except web.HTTPMethodNotAllowed:
        return web.Response(status=405)
