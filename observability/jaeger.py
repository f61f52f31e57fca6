"""The same spans read from a Jaeger, through its HTTP query API."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from observability import names
from observability.spans import Span, SpanEvent

_FAR_NS = 2**62


class JaegerError(RuntimeError):
    """The query API did not answer, or not with traces."""


class JaegerStore:
    """Reads traces from `http://host:16686`; `timeout` is in seconds."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """Take the address; ValueError when it is not HTTP."""
        if urlsplit(url).scheme not in {"http", "https"}:
            message = f"{url!r} is not an http address"
            raise ValueError(message)
        self._url = url.rstrip("/")
        self._timeout = timeout

    def services(self) -> list[str]:
        """Return the names of the services it knows. Raises JaegerError."""
        return sorted(str(name) for name in self._get("/api/services") or ())

    def trace(self, trace_id: str) -> list[Span]:
        """Return one trace in order of start, empty when it is not known.

        Raises JaegerError.
        """
        return _spans(self._get(f"/api/traces/{trace_id}", missing=[]))

    def spans(
        self,
        since_ns: int = 0,
        until_ns: int = _FAR_NS,
        *,
        service: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> list[Span]:
        """Return the spans that started in [since, until), in order of start.

        Jaeger searches by service, so without one every service is asked. `limit`
        bounds the traces that are read of each. Raises JaegerError.
        """
        found: dict[tuple[str, str], Span] = {}
        for each in [service] if service else self.services():
            query: dict[str, str | int] = {
                "service": each,
                "start": since_ns // 1000,
                "end": min(until_ns, _FAR_NS) // 1000,
                "limit": limit or 100_000,
            }
            if name:
                query["operation"] = name
            for span in _spans(self._get(f"/api/traces?{urlencode(query)}")):
                found[span.trace_id, span.span_id] = span
        fits = [
            span
            for span in found.values()
            if since_ns <= span.start_ns < until_ns
            and (service is None or span.service == service)
            and (name is None or span.name == name)
        ]
        return sorted(fits, key=lambda span: span.start_ns)

    def _get(self, path: str, missing: Any = None) -> Any:
        request = Request(self._url + path, headers={"Accept": "application/json"})  # noqa: S310  # the scheme was checked
        try:
            with urlopen(request, timeout=self._timeout) as answer:  # noqa: S310  # as above
                return json.load(answer)["data"]
        except HTTPError as error:
            with error:
                if error.code == 404 and missing is not None:
                    return missing
            message = f"{self._url}{path}: {error.code} {error.reason}"
            raise JaegerError(message) from error
        except (URLError, TimeoutError, ValueError, KeyError, TypeError) as error:
            message = f"{self._url}{path}: {error}"
            raise JaegerError(message) from error


def _spans(traces: Any) -> list[Span]:
    found = [
        _span(span, trace["processes"][span["processID"]])
        for trace in traces or ()
        for span in trace["spans"]
    ]
    return sorted(found, key=lambda span: span.start_ns)


def _span(given: Mapping[str, Any], process: Mapping[str, Any]) -> Span:
    tags = _tags(given.get("tags"))
    resource = _tags(process.get("tags"))
    start = int(given["startTime"]) * 1000
    kind = str(tags.pop("span.kind", "internal")).upper()
    status = str(tags.pop("otel.status_code", "UNSET"))
    if tags.pop("error", False) is True:
        status = "ERROR"
    parents = [
        ref["spanID"]
        for ref in given.get("references") or ()
        if ref["refType"] == "CHILD_OF" and ref["traceID"] == given["traceID"]
    ]
    return Span(
        trace_id=given["traceID"].rjust(32, "0"),
        span_id=given["spanID"].rjust(16, "0"),
        parent_id=parents[0].rjust(16, "0") if parents else None,
        name=given["operationName"],
        kind=kind,
        service=process["serviceName"],
        instance=str(resource.get(names.SERVICE_INSTANCE, "")),
        region=str(resource.get(names.CLOUD_REGION, "")),
        zone=str(resource.get(names.CLOUD_ZONE, "")),
        start_ns=start,
        end_ns=start + int(given["duration"]) * 1000,
        status=status,
        attributes=tags,
        events=tuple(_event(log) for log in given.get("logs") or ()),
    )


def _event(log: Mapping[str, Any]) -> SpanEvent:
    fields = _tags(log.get("fields"))
    name = str(fields.pop("event", ""))
    return SpanEvent(name, int(log["timestamp"]) * 1000, fields)


def _tags(pairs: Any) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in pairs or ()}
