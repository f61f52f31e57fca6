"""Puts toxics on and takes them off through Toxiproxy's HTTP API, ours or another's.

A toxic's name tells whose it is, so that each run removes its own and sees others'.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

PREFIX = "seawall-run-"


class ToxiproxyError(RuntimeError):
    """The API refused or did not answer; `status` is 0 when there was no answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One toxic on one proxy."""

    proxy: str
    toxic: str


class Toxiproxy:
    """A client of the API; every method raises ToxiproxyError."""

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<Toxiproxy {self.url}>"

    def proxies(self) -> dict[str, Any]:
        """Every proxy by name, each with its toxics."""
        found: dict[str, Any] = self._ask("GET", "/proxies")
        return found

    def placed(self) -> list[Placed]:
        """Every toxic on every proxy."""
        return [
            Placed(proxy=name, toxic=toxic["name"])
            for name, proxy in sorted(self.proxies().items())
            for toxic in proxy.get("toxics", ())
        ]

    def add(
        self,
        proxy: str,
        *,
        name: str,
        type_: str,
        attributes: Mapping[str, int],
        stream: str = "downstream",
        toxicity: float = 1.0,
    ) -> Placed:
        """Put one toxic on a proxy."""
        self._ask(
            "POST",
            f"/proxies/{quote(proxy, safe='')}/toxics",
            {
                "name": name,
                "type": type_,
                "stream": stream,
                "toxicity": toxicity,
                "attributes": dict(attributes),
            },
        )
        return Placed(proxy=proxy, toxic=name)

    def remove(self, placed: Placed) -> None:
        """Take a toxic off; one that is off already is no error."""
        path = f"/proxies/{quote(placed.proxy, safe='')}/toxics"
        try:
            self._ask("DELETE", f"{path}/{quote(placed.toxic, safe='')}")
        except ToxiproxyError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise

    def remove_named(self, prefix: str) -> list[Placed]:
        """Take off every toxic whose name begins so, and tell which those were."""
        ours = [one for one in self.placed() if one.toxic.startswith(prefix)]
        self.remove_all(ours)
        return ours

    def remove_all(self, toxics: Iterable[Placed]) -> None:
        """Take all of them off, the last too when the first fails."""
        failed: ToxiproxyError | None = None
        for one in toxics:
            try:
                self.remove(one)
            except ToxiproxyError as error:
                failed = error
        if failed is not None:
            raise failed

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        if not self.url.startswith(("http://", "https://")):
            raise ToxiproxyError(f"not an http address: {self.url}")
        request = urllib.request.Request(  # noqa: S310 - checked above
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "seawall"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as reply:  # noqa: S310
                text = reply.read()
        except urllib.error.HTTPError as error:
            with error:
                told = error.read().decode(errors="replace").strip()
            message = f"{method} {path}: {error.code} {told}"
            raise ToxiproxyError(message, status=error.code) from error
        except (OSError, http.client.HTTPException) as error:
            raise ToxiproxyError(f"{self.url} does not answer: {error}") from error
        return json.loads(text) if text.strip() else None
