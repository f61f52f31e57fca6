"""What each call of Toxiproxy's API does to the links.

A link's distance is no toxic: neither a reset nor a populate takes it away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web

from chaos.toxiproxy import replies
from chaos.toxiproxy.replies import ApiError
from links import Engine, Link, LinkSpec, Toxic
from links.errors import (
    BadAddressError,
    BadAttributesError,
    BadStreamError,
    LinkExistsError,
    ToxicExistsError,
    UnknownLinkError,
    UnknownToxicError,
    UnknownToxicTypeError,
)

ENGINE = web.AppKey("engine", Engine)
VERSION = "2.12.0"

# Go would listen on every interface; a fault injector has no business there.
_ANYWHERE = "127.0.0.1:0"

_STATUS: dict[type[Exception], tuple[int, str]] = {
    UnknownLinkError: (404, "proxy not found"),
    LinkExistsError: (409, "proxy already exists"),
    UnknownToxicError: (404, "toxic not found"),
    ToxicExistsError: (409, "toxic already exists"),
    UnknownToxicTypeError: (400, "invalid toxic type"),
    BadStreamError: (400, "stream was invalid, can be either upstream or downstream"),
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn the engine's errors into Toxiproxy's."""
    try:
        yield
    except tuple(_STATUS) as error:
        raise ApiError(*_STATUS[type(error)]) from error
    except (BadAttributesError, BadAddressError) as error:
        raise replies.bad_body(error) from error
    except OSError as error:
        raise ApiError(500, f"listen tcp: {error.strerror or error}") from error


async def list_proxies(request: web.Request) -> web.Response:
    """Answer with all links by name."""
    return replies.reply(replies.proxies(request.app[ENGINE].links()))


async def create_proxy(request: web.Request) -> web.Response:
    """Add a link without distance."""
    values = await replies.read_object(request)
    spec = _spec(values)
    with translated():
        link = await request.app[ENGINE].add(
            spec, enabled=replies.flag(values, "enabled", default=True)
        )
    return replies.reply(replies.proxy(link), 201)


async def populate(request: web.Request) -> web.Response:
    """Add links that are missing and replace those that differ."""
    values = await replies.read(request)
    if not isinstance(values, list):
        raise replies.bad_body("not an array")
    wanted = []
    for number, entry in enumerate(values, 1):
        fields = replies.as_object(entry)
        enabled = replies.flag(fields, "enabled", default=True)
        wanted.append((_spec(fields, f" at proxy {number}"), enabled))
    done: list[Link] = []
    try:
        for spec, enabled in wanted:
            with translated():
                done.append(await _place(request.app[ENGINE], spec, enabled=enabled))
    except ApiError as error:
        listed = [replies.proxy(link) for link in done]
        status = max(error.status, 500)
        return replies.reply(
            error.body() | {"status": status, "proxies": listed}, status
        )
    return replies.reply({"proxies": [replies.proxy(link) for link in done]}, 201)


async def show_proxy(request: web.Request) -> web.Response:
    """Answer with one link."""
    return replies.reply(replies.proxy(_link(request)))


async def update_proxy(request: web.Request) -> web.Response:
    """Move a link's ends, or switch it on or off; its toxics stay."""
    link = _link(request)
    values = await replies.read_object(request)
    listen = replies.text(values, "listen", link.listen)
    upstream = replies.text(values, "upstream", link.upstream)
    enabled = replies.flag(values, "enabled", default=link.enabled)
    with translated():
        await link.set_upstream(upstream)
        if not enabled:
            await link.disable()
        if not _same(listen, link.listen):
            await link.set_listen(listen)
        if enabled:
            await link.enable()
    return replies.reply(replies.proxy(link))


async def delete_proxy(request: web.Request) -> web.Response:
    """Remove a link."""
    with translated():
        await request.app[ENGINE].remove(request.match_info["proxy"])
    return web.Response(status=204)


async def list_toxics(request: web.Request) -> web.Response:
    """Answer with a link's toxics."""
    return replies.reply(replies.toxics(_link(request)))


async def create_toxic(request: web.Request) -> web.Response:
    """Put a toxic on a link."""
    link = _link(request)
    values = await replies.read_object(request)
    with translated():
        toxic = Toxic.make(
            replies.text(values, "type"),
            name=replies.text(values, "name"),
            stream=replies.text(values, "stream") or "downstream",
            toxicity=_or(values.get("toxicity"), 1.0),
            attributes=_attributes(values),
            strict=False,
        )
        link.add_toxic(toxic)
    return replies.reply(toxic.to_json())


async def show_toxic(request: web.Request) -> web.Response:
    """Answer with one toxic."""
    link = _link(request)
    with translated():
        return replies.reply(link.toxic(request.match_info["toxic"]).to_json())


async def update_toxic(request: web.Request) -> web.Response:
    """Change a toxic's attributes or toxicity; nothing else of it can change."""
    link = _link(request)
    with translated():
        name = link.toxic(request.match_info["toxic"]).name
    values = await replies.read_object(request)
    with translated():
        toxic = link.update_toxic(
            name,
            toxicity=values.get("toxicity"),
            attributes=_attributes(values),
            strict=False,
        )
    return replies.reply(toxic.to_json())


async def delete_toxic(request: web.Request) -> web.Response:
    """Take a toxic off."""
    link = _link(request)
    with translated():
        link.remove_toxic(request.match_info["toxic"])
    return web.Response(status=204)


async def reset(request: web.Request) -> web.Response:
    """Switch every link on and take every toxic off."""
    for link in request.app[ENGINE].links():
        # Toxics first: a link that cannot listen shall not keep the others faulty.
        link.remove_toxics()
    for link in request.app[ENGINE].links():
        with translated():
            await link.enable()
    return web.Response(status=204)


async def version(request: web.Request) -> web.Response:
    """Answer with the version of Toxiproxy whose API this is."""
    del request
    answer = replies.reply({"version": VERSION})
    answer.headers["Content-Type"] = "application/json;charset=utf-8"
    return answer


def _link(request: web.Request) -> Link:
    with translated():
        return request.app[ENGINE].get(request.match_info["proxy"])


def _spec(values: Mapping[str, Any], where: str = "") -> LinkSpec:
    name = replies.text(values, "name")
    upstream = replies.text(values, "upstream")
    if not name:
        raise replies.missing(f"name{where}")
    if not upstream:
        raise replies.missing(f"upstream{where}")
    listen = replies.text(values, "listen") or _ANYWHERE
    return LinkSpec(name=name, upstream=upstream, listen=listen)


async def _place(engine: Engine, spec: LinkSpec, *, enabled: bool) -> Link:
    try:
        link = engine.get(spec.name)
    except UnknownLinkError:
        return await engine.add(spec, enabled=enabled)
    if _same(spec.listen, link.listen) and spec.upstream == link.upstream:
        return link
    await engine.remove(spec.name)
    moved = replace(link.spec, listen=spec.listen, upstream=spec.upstream)
    return await engine.add(moved, enabled=enabled)


def _same(left: str, right: str) -> bool:
    return left.replace("localhost:", "127.0.0.1:") == right.replace(
        "localhost:", "127.0.0.1:"
    )


def _attributes(values: Mapping[str, Any]) -> Mapping[str, Any]:
    given = replies.as_object(_or(values.get("attributes"), {}))
    return {name: value for name, value in given.items() if value is not None}


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
