"""All the slots of one client, and the state that they share.

State (breakers, buckets, bulkheads, limits) outlives a change of policy.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

from resilience import _switch
from resilience._attempt import AttemptObserver
from resilience._budget import TokenBucket
from resilience._bulkhead import Bulkhead
from resilience._events import Listener
from resilience._limiter import AdaptiveLimiter
from resilience._policy import ClientPolicy, ClientPolicySource, bare
from resilience._retry import RetryState
from resilience._slot import Slot
from resilience._throttle import ClientThrottle

MAX_METHODS = 1024

_LOG = logging.getLogger(__name__)


class Tally:
    """What one call took beyond its first attempt, for who watches whole calls."""

    __slots__ = ("delay_s", "hedges", "retries", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.retries = 0
        self.hedges = 0
        self.delay_s = 0.0

    def retry(self, delay_s: float) -> None:
        """Count a retry, and the wait before it."""
        self.retries += 1
        self.delay_s += delay_s


class Chain:
    """All the slots of one client interceptor."""

    def __init__(
        self,
        source: ClientPolicySource,
        *,
        listener: Listener | None = None,
        observer: AttemptObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.listener = listener
        self.observer = observer
        # What an observer of attempts may have as well; see CallObserver.
        self.call_finished: Callable[..., None] | None = getattr(
            observer, "call_finished", None
        )
        self.clock = clock
        self.rng = rng or random.Random()  # noqa: S311  # spreads retries, no secret
        self._source = source if callable(source) else None
        self._fixed = None if callable(source) else source
        # Around what makes and changes slots and what they share, never around a call.
        self._lock = threading.Lock()
        self._slots: dict[str | bytes, Slot] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._bulkheads: dict[str, Bulkhead] = {}
        self._limiters: dict[str, AdaptiveLimiter] = {}
        self._throttles: dict[str, ClientThrottle] = {}

    def slot(self, method: str | bytes) -> Slot:
        """Return the slot of *method*, following the policy as it is now."""
        policy = self._fixed
        if policy is None:
            assert self._source is not None
            policy = self._source()
        if not _switch.ON:
            return self._without(method, policy.target)
        slot = self._slots.get(method)
        if slot is not None:
            if slot.policy is not policy:
                if slot.policy == policy:
                    slot.policy = policy
                else:
                    with self._lock:
                        slot.configure(policy)
            return slot
        with self._lock:
            slot = self._slots.get(method)
            if slot is None:
                slot = Slot(self, _text(method))
                slot.configure(policy)
                while len(self._slots) >= MAX_METHODS:
                    self._slots.pop(next(iter(self._slots)))
                self._slots[method] = slot
        return slot

    def _without(self, method: str | bytes, target: str) -> Slot:
        slot = Slot(self, _text(method))
        slot.configure(bare(target))
        return slot

    def retries(self, slot: Slot, started: float) -> RetryState | None:
        """Return the record of a call's retries; made after its first failure."""
        if slot.retry is None:
            return None
        return RetryState(slot.retry, started=started, clock=self.clock, rng=self.rng)

    def bucket(self, plan: ClientPolicy) -> TokenBucket | None:
        """Return the one bucket of the plan's target."""
        config = plan.retry_budget
        if config is None:
            return None
        bucket = self._buckets.get(plan.target)
        if bucket is None:
            bucket = self._buckets[plan.target] = TokenBucket(config)
        elif bucket.config != config:
            bucket.reconfigure(config)
        return bucket

    def bulkhead(self, plan: ClientPolicy, name: str) -> Bulkhead | None:
        """Return the bulkhead called *name*: the target's, or a method's own."""
        config = plan.bulkhead
        if config is None:
            return None
        bulkhead = self._bulkheads.get(name)
        if bulkhead is None:
            bulkhead = self._bulkheads[name] = Bulkhead(name, config)
        elif bulkhead.config != config:
            bulkhead.reconfigure(config)
        return bulkhead

    def limiter(self, plan: ClientPolicy, name: str) -> AdaptiveLimiter | None:
        """Return the adaptive limit called *name*: the target's, or a method's own."""
        config = plan.limit
        if config is None:
            return None
        limiter = self._limiters.get(name)
        if limiter is None or limiter.config != config:
            limiter = self._limiters[name] = AdaptiveLimiter(
                name, config, clock=self.clock, listener=self.listener
            )
        return limiter

    def throttle(self, plan: ClientPolicy) -> ClientThrottle | None:
        """Return the one throttle of the plan's target."""
        config = plan.throttle
        if config is None:
            return None
        throttle = self._throttles.get(plan.target)
        if throttle is None or throttle.config != config:
            throttle = self._throttles[plan.target] = ClientThrottle(
                plan.target, config, clock=self.clock, rng=self.rng
            )
        return throttle

    def tally(self) -> Tally | None:
        """Return what to count a call's attempts in, None when nobody asks."""
        return None if self.call_finished is None else Tally(self.clock())

    def finished(self, slot: Slot, tally: Tally, code: str | None) -> None:
        """Tell how a whole call ended for its caller; an observer's error is logged."""
        if self.call_finished is None:
            return
        try:
            self.call_finished(
                slot.target,
                slot.method,
                code=code,
                duration_s=self.clock() - tally.started,
                retries=tally.retries,
                hedges=tally.hedges,
                retry_delay_s=tally.delay_s,
            )
        except Exception:  # noqa: BLE001  # whatever an observer raises is its own
            _LOG.exception("an observer of calls failed")

    def breakers(self) -> dict[str, str]:
        """Return the state of every breaker by name, for status pages and tests."""
        return {
            breaker.name: breaker.state
            for slot in list(self._slots.values())
            for breaker in slot.breakers()
        }

    def held(self) -> dict[str, int]:
        """Return the places taken in bulkheads and limits by name; 0 when idle."""
        found = {name: held.in_flight for name, held in list(self._bulkheads.items())}
        for name, held in list(self._limiters.items()):
            found[name] = found.get(name, 0) + held.in_flight
        return found


def _text(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method
