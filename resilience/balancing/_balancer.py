"""Picks a backend for each call and learns from its end. Safe between threads."""

import threading
import time
from collections.abc import Callable, Sequence

from resilience._errors import NoBackendError
from resilience._events import BackendPicked, Listener, emit
from resilience._outcome import classify
from resilience.balancing._backend import Backend, Node, Picker
from resilience.balancing._outliers import Outliers
from resilience.balancing._picks import LocalityFirst


class Balancer:
    """The backends of one target, a picker, and who is put aside."""

    def __init__(
        self,
        target: str,
        backends: Sequence[Backend],
        picker: Picker,
        *,
        outliers: Outliers | None = None,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        self.target = target
        self._picker = picker
        self._outliers = outliers
        self._clock = clock
        self._listener = listener
        self._lock = threading.Lock()
        self._nodes: dict[str, Node] = {}
        self.update(backends)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends as they are now."""
        return tuple(node.backend for node in self._nodes.values())

    def update(self, backends: Sequence[Backend]) -> None:
        """Take over a new list; what is known of those that stay is kept.

        Raises ValueError when two have one name.
        """
        names = {backend.name for backend in backends}
        if len(names) != len(backends):
            raise ValueError(f"two backends of {self.target} have one name")
        now = self._clock()
        with self._lock:
            nodes = {}
            for backend in backends:
                node = self._nodes.get(backend.name)
                if node is None:
                    node = Node(backend, now)
                node.backend = backend
                nodes[backend.name] = node
            self._nodes = nodes
            if self._outliers is not None:
                self._outliers.follow(names)
            if isinstance(self._picker, LocalityFirst):
                totals: dict[float, int] = {}
                for backend in backends:
                    totals[backend.distance] = totals.get(backend.distance, 0) + 1
                self._picker.know(totals)

    def pick(self, method: str, *, avoid: str | None = None) -> Node:
        """Return the node for a call, and count it as in flight there.

        *avoid* names a backend that is taken only where there is no other: where the
        attempt before went. Raises NoBackendError when there is none at all.
        """
        with self._lock:
            nodes = list(self._nodes.values())
            if self._outliers is not None:
                out = self._outliers.ejected()
                if out:
                    nodes = [node for node in nodes if node.backend.name not in out]
            if avoid is not None and len(nodes) > 1:
                nodes = [node for node in nodes if node.backend.name != avoid]
            if not nodes:
                raise NoBackendError(self.target)
            node, reason = self._picker.pick(nodes)
            event = None
            if self._listener is not None:
                event = BackendPicked(
                    target=self.target,
                    method=method,
                    policy=self._picker.name,
                    backend=node.backend.name,
                    reason=reason,
                    candidates={
                        each.backend.name: self._picker.score(each) for each in nodes
                    },
                )
            node.pending += 1
        if event is not None:
            emit(self._listener, event)
        return node

    def ended(
        self, node: Node, code: str | None, latency_s: float, *, streaming: bool = False
    ) -> None:
        """Take in how the call that `pick` counted ended; None for no status."""
        with self._lock:
            node.pending -= 1
            verdict = classify(code, cancelled_by=None, passed_on=False)
            if verdict == "ignored":
                return
            if self._outliers is not None:
                self._outliers.record(node.backend.name, ok=verdict == "success")
            if not streaming:
                self._picker.ended(node, latency_s)

    def __repr__(self) -> str:
        return f"<Balancer {self.target} {self._picker.name}, {self._outliers!r}>"
