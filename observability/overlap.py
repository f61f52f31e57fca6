"""How many spans ran at once, and how many began together."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from observability.spans import Span


class Peak(NamedTuple):
    """The highest count and the traces of that moment."""

    peak: int
    trace_ids: tuple[str, ...]


def peak_overlap(spans: Iterable[Span]) -> Peak:
    """Return the most spans that ran at the same time.

    A span that ends exactly when another starts does not overlap it.
    """
    known = list(spans)
    edges = [(span.start_ns, 1, index) for index, span in enumerate(known)]
    edges += [(span.end_ns, 0, index) for index, span in enumerate(known)]
    edges.sort()
    running: set[int] = set()
    ended: set[int] = set()
    best, best_set = 0, frozenset[int]()
    for _, starts, index in edges:
        if not starts:
            running.discard(index)
            ended.add(index)
        elif index not in ended:
            # A span of no duration ends before it starts in this order.
            running.add(index)
            if len(running) > best:
                best, best_set = len(running), frozenset(running)
    traces = dict.fromkeys(known[index].trace_id for index in sorted(best_set))
    return Peak(best, tuple(traces))


def burst(spans: Iterable[Span], window_ms: float) -> Peak:
    """Return the most spans that started within any window of `window_ms`."""
    width = int(window_ms * 1e6)
    inside: deque[Span] = deque()
    best = Peak(0, ())
    for span in sorted(spans, key=lambda each: each.start_ns):
        inside.append(span)
        while span.start_ns - inside[0].start_ns > width:
            inside.popleft()
        if len(inside) > best.peak:
            traces = tuple(dict.fromkeys(each.trace_id for each in inside))
            best = Peak(len(inside), traces)
    return best
