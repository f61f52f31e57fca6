"""Picks a backend for each call and learns from its end. Safe between threads."""

import threading
import time
from collections.abc import Callable, Collection, Sequence

from resilience._errors import NoBackendError
from resilience._events import BackendPicked, Listener, emit
from resilience._outcome import classify
from resilience.balancing._backend import Backend, Node, Picker
from resilience.balancing._outlier_config import OutlierConfig
from resilience.balancing._outliers import Outliers

# Of how many candidates an event tells the scores: they are computed for each call.
_TOLD = 16


class Balancer:
    """The backends of one target, a picker, and who is put aside.

    Belongs to one channel. *outliers* is a config, or an `Outliers` made elsewhere.
    Its lock is held for a pick or for a record, never during a call, and no listener is
    told under it.
    """

    def __init__(
        self,
        target: str,
        backends: Sequence[Backend],
        picker: Picker,
        *,
        outliers: OutlierConfig | Outliers | None = None,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener | None = None,
    ) -> None:
        self.target = target
        self._picker = picker
        if isinstance(outliers, OutlierConfig):
            outliers = Outliers(target, outliers, clock=clock, listener=listener)
        self._outliers = outliers
        self._clock = clock
        self._listener = listener
        self._lock = threading.Lock()
        self._nodes: dict[str, Node] = {}
        # The nodes that are not ejected, and the set of names they were made without.
        self._usable: list[Node] = []
        self._without: frozenset[str] = frozenset()
        self.update(backends)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends as they are now."""
        return tuple(node.backend for node in self._nodes.values())

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The backends' states as they are now."""
        return tuple(self._nodes.values())

    @property
    def ejected(self) -> frozenset[str]:
        """The names of the backends that get no calls now."""
        if self._outliers is None:
            return frozenset()
        with self._lock:
            out = self._outliers.ejected()
            news = self._outliers.take_news()
        self._outliers.tell(news)
        return out

    def update(self, backends: Sequence[Backend]) -> list[Node]:
        """Take over a new list; what is known of those that stay is kept.

        One with a new address is new. Returns the nodes that are gone and have no call
        in flight; of the others `ended` tells. Raises ValueError when two have one
        name.
        """
        names = {backend.name for backend in backends}
        if len(names) != len(backends):
            raise ValueError(f"two backends of {self.target} have one name")
        now = self._clock()
        with self._lock:
            nodes = {}
            for backend in backends:
                node = self._nodes.get(backend.name)
                if node is None or node.backend.address != backend.address:
                    node = Node(backend, now)
                node.backend = backend
                nodes[backend.name] = node
            gone = set(self._nodes.values()) - set(nodes.values())
            for node in gone:
                node.retired = True
            self._nodes = nodes
            if self._outliers is not None:
                # What is held against a name is not held against its new address.
                moved = {node.backend.name for node in gone}
                self._outliers.follow(names - moved)
                self._outliers.follow(list(nodes))
            self._picker.follow(list(nodes.values()))
            self._regroup()
        return [node for node in gone if not node.pending]

    def _regroup(self) -> None:
        out = self._without
        if self._outliers is not None:
            out = self._outliers.ejected()
        nodes = self._nodes.values()
        self._usable = [node for node in nodes if node.backend.name not in out]
        self._without = out

    def pick(
        self, method: str, *, avoid: Collection[str] = (), streaming: bool = False
    ) -> Node:
        """Return the node for a call, and count it as in flight there.

        *avoid* names the backends that are taken only where there is no other: where
        the attempts before went. Raises NoBackendError when there is none at all.
        """
        event = None
        news = None
        with self._lock:
            outliers = self._outliers
            if outliers is not None and outliers.ejected() is not self._without:
                self._regroup()
            if outliers is not None and outliers.news:
                news = outliers.take_news()
            nodes = self._usable
            if nodes:
                node, reason = self._picker.pick(nodes, avoid)
                if self._listener is not None:
                    event = self._event(method, node, reason)
                node.pending += 1
                node.streams += streaming
        if news and outliers is not None:
            outliers.tell(news)
        if not nodes:
            raise NoBackendError(self.target)
        if event is not None:
            emit(self._listener, event)
        return node

    def _event(self, method: str, node: Node, reason: str) -> BackendPicked:
        score = self._picker.score
        told = self._usable[:_TOLD]
        if node not in told:
            told[-1] = node
        return BackendPicked(
            target=self.target,
            method=method,
            policy=self._picker.name,
            backend=node.backend.name,
            reason=reason,
            candidates={each.backend.name: score(each) for each in told},
        )

    def ended(
        self,
        node: Node,
        code: str | None,
        latency_s: float,
        *,
        streaming: bool = False,
        passed_on: bool = False,
    ) -> bool:
        """Take in how the call that `pick` counted ended; None for no status.

        To be called once for every pick. *passed_on* says that the failure came from a
        hop behind the backend, which is no outlier for it. Returns whether this was
        the last call of a node that an `update` took away.
        """
        verdict = classify(code, cancelled_by=None, passed_on=passed_on)
        news = None
        with self._lock:
            node.pending -= 1
            node.streams -= streaming
            idle = node.retired and not node.pending
            if self._outliers is not None and not node.retired:
                if verdict != "ignored":
                    self._outliers.record(node.backend.name, ok=verdict == "success")
                if self._outliers.news:
                    news = self._outliers.take_news()
            # How long a stream lives says nothing about how slow its server is.
            if streaming:
                if verdict == "failure":
                    self._picker.ended(node, verdict, 0.0)
            elif code is not None:
                self._picker.ended(node, verdict, latency_s)
        if news and self._outliers is not None:
            self._outliers.tell(news)
        return idle

    def __repr__(self) -> str:
        return f"<Balancer {self.target} {self._picker.name}, {self._outliers!r}>"
