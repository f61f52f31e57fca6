"""The matrix of call kinds: every way a call can be made and can end, as data.

The test beside this file plays each row against a real server; the page in the
documentation is made from the same rows.
"""

from typing import NamedTuple

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
SINGLE = ("unary_unary", "stream_unary")
STREAMED = ("unary_stream", "stream_stream")
WRITES = ("stream_unary", "stream_stream")


class Row(NamedTuple):
    """A way to make and to end a call, and the one outcome that must be told."""

    way: str
    flavours: tuple[str, ...]
    kinds: tuple[str, ...]
    code: str | None
    cancelled_by: str | None
    verdict: str


BOTH = ("aio", "sync")
OK = ("OK", None, "success")
FAILED = ("UNAVAILABLE", None, "failure")
LATE = ("DEADLINE_EXCEEDED", "deadline", "failure")
BY_CALLER = ("CANCELLED", "caller", "ignored")
BY_PEER = ("CANCELLED", "peer", "ignored")
LOCAL = (None, None, "ignored")

ROWS = (
    Row("awaited, called or iterated", BOTH, KINDS, *OK),
    Row("read()", ("aio",), STREAMED, *OK),
    Row("write() and done_writing()", ("aio",), WRITES, *OK),
    Row("with_call()", ("sync",), SINGLE, *OK),
    Row("future()", ("sync",), SINGLE, *OK),
    Row("the service fails", BOTH, KINDS, *FAILED),
    Row("with_call() fails", ("sync",), SINGLE, *FAILED),
    Row("future() fails", ("sync",), SINGLE, *FAILED),
    Row("the caller asked wrongly", BOTH, KINDS, "NOT_FOUND", None, "success"),
    Row("the deadline passes", BOTH, KINDS, *LATE),
    Row("cancel()", BOTH, KINDS, *BY_CALLER),
    Row("the caller's task is cancelled", ("aio",), KINDS, *BY_CALLER),
    Row("the server cancels", BOTH, KINDS, *BY_PEER),
    Row("dropped half-read", BOTH, STREAMED, *BY_CALLER),
    Row("the channel is closed", ("aio",), KINDS, *BY_CALLER),
    Row("an interceptor above raises afterwards", BOTH, ("unary_unary",), *OK),
    Row("an interceptor below raises", BOTH, KINDS, *LOCAL),
)

CASES = [
    (row, flavour, kind)
    for row in ROWS
    for flavour in row.flavours
    for kind in row.kinds
]


def page() -> str:
    """Return the documentation's page of the matrix."""
    lines = [
        "# The matrix of call kinds",
        "",
        "What one attempt's observer is told, whatever the way a call is made and",
        "ends. Each row is played against a real server for each kind, and must be",
        "told exactly once, with no permit held afterwards.",
        "",
        "| a call | aio | blocking | status | cancelled by | counts as |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        kinds = "all four kinds" if row.kinds == KINDS else ", ".join(row.kinds)
        aio = kinds if "aio" in row.flavours else "-"
        sync = kinds if "sync" in row.flavours else "-"
        lines.append(
            f"| {row.way} | {aio} | {sync} | {row.code or 'none'} "
            f"| {row.cancelled_by or '-'} | {row.verdict} |"
        )
    return "\n".join(lines) + "\n"
