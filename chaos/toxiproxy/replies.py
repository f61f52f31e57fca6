"""Replies, errors and request bodies as Toxiproxy 2.12 writes and reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from links import Link


class ApiError(Exception):
    """An answer other than the one asked for: a status and a text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text

    def body(self) -> dict[str, Any]:
        """Give the error as Toxiproxy's JSON object."""
        return {"error": self.text, "status": self.status}


def bad_body(reason: object) -> ApiError:
    """Say that the request's body cannot be used."""
    return ApiError(400, f"bad request body: {reason}")


def missing(field: str) -> ApiError:
    """Say that the request's body lacks a field."""
    return ApiError(400, f"missing required field: {field}")


def plain(status: int, text: str) -> web.Response:
    """Answer with plain text, as Go's `http.Error` does."""
    return web.Response(
        status=status,
        body=f"{text}\n".encode(),
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
        },
    )


def failure(error: ApiError) -> web.Response:
    """Answer with an error: JSON inside, text by its content type."""
    return plain(error.status, _dump(error.body()))


def reply(value: Any, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        status=status,
        body=_dump(value).encode(),
        headers={"Content-Type": "application/json"},
    )


def proxy(link: Link) -> dict[str, Any]:
    """Give a link as Toxiproxy's proxy, toxics included."""
    return {
        "name": link.spec.name,
        "listen": link.listen,
        "upstream": link.upstream,
        "enabled": link.enabled,
        "toxics": toxics(link),
    }


def proxies(links: Iterable[Link]) -> dict[str, Any]:
    """Give links as Toxiproxy's map from name to proxy."""
    return {
        link.spec.name: proxy(link)
        for link in sorted(links, key=lambda link: link.spec.name)
    }


def toxics(link: Link) -> list[dict[str, Any]]:
    """Give a link's toxics, upstream first."""
    return [toxic.to_json() for toxic in link.toxics]


async def read(request: web.Request) -> Any:
    """Read the request's JSON, whatever its content type; raises ApiError 400."""
    raw = await request.read()
    if not raw.strip():
        raise bad_body("EOF")
    try:
        return json.loads(raw)
    except ValueError as error:
        raise bad_body(error) from None


async def read_object(request: web.Request) -> Mapping[str, Any]:
    """Read a JSON object; raises ApiError 400."""
    return as_object(await read(request))


def as_object(value: Any) -> Mapping[str, Any]:
    """Take a JSON object; raises ApiError 400 for anything else."""
    if not isinstance(value, dict):
        raise bad_body("not an object")
    return value


def text(values: Mapping[str, Any], field: str, default: str = "") -> str:
    """Take a string; null and nothing are `default`; raises ApiError 400."""
    value = values.get(field)
    if value is None:
        return default
    if not isinstance(value, str):
        raise bad_body(f"{field} is not a string")
    return value


def flag(values: Mapping[str, Any], field: str, *, default: bool) -> bool:
    """Take a boolean; null and nothing are `default`; raises ApiError 400."""
    value = values.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise bad_body(f"{field} is not a boolean")
    return value


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
