"""What this process knows about one home region's database: breaker and suspicion."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from cockroach.errors import DatabaseUnavailableError
from cockroach.outliers import GatewayEjected, GatewayReturned, Outliers
from cockroach.policy import DataPolicy
from resilience import BreakerConfig, CallRefused, CircuitBreaker, Listener, Permit

_RECENT_S = 2.0
_WINDOW_S = 3
_MOST_HELD = 16
_BLIND = DataPolicy(
    gateway_choice="home_region",
    single_statements="autocommit",
    pool_size=1,
    pool_overflow=0,
    pool_timeout_s=0.0,
    warm=False,
    transaction_attempts=1,
    breaker=False,
)


class RegionHealth:
    """Judges the statements sent to one region's own gateways, together and apart.

    What is bad at one gateway while another does well is that gateway's trouble: it
    sits out. It counts against the region as soon as no gateway does well. Only a
    closed breaker lets statements through; while it is not closed the only ones that
    go are the prober's, which alone take half-open permits.
    """

    def __init__(
        self,
        home: str,
        policy: DataPolicy,
        *,
        rtt_s: float,
        clock: Callable[[], float],
        listener: Listener | None = None,
        on_open: Callable[[RegionHealth], None] | None = None,
        on_answer: Callable[..., None] | None = None,
    ) -> None:
        self.home = home
        self.slow_s = policy.breaker_slow_ms / 1e3 + rtt_s
        self.permits = policy.breaker_permits
        self.open_s = policy.breaker_open_s
        self._clock = clock
        self._on_open = on_open
        self._on_answer = on_answer
        self._listener = listener
        self._last_at = float("-inf")
        self._last_slow = False
        self._outliers = Outliers()
        # Bad answers of one gateway, which the region may have to answer for yet.
        self._held: deque[tuple[float, Permit, bool, float]] = deque(maxlen=_MOST_HELD)
        self.breaker: CircuitBreaker | None = None
        if policy.breaker and policy.knows_homes:
            self.breaker = CircuitBreaker(
                f"database@{home}",
                BreakerConfig(
                    failure_rate=0.5,
                    slow_rate=0.5,
                    slow_after_s=self.slow_s,
                    # Seconds, not calls: at a few calls a second the last eight may
                    # tell of a trouble that is long over.
                    window="time",
                    window_size=_WINDOW_S,
                    min_calls=policy.breaker_min_calls,
                    open_s=policy.breaker_open_s,
                    half_open_permits=policy.breaker_permits,
                ),
                clock=clock,
                listener=listener,
            )

    @classmethod
    def blind(cls, home: str) -> RegionHealth:
        """Make one that judges nothing, for probes, which are judged by themselves."""
        return cls(home, _BLIND, rtt_s=0.0, clock=lambda: 0.0)

    @property
    def state(self) -> str:
        """The breaker's state; "closed" where there is none."""
        return self.breaker.state if self.breaker is not None else "closed"

    @property
    def suspect(self) -> bool:
        """Tell whether the region is in trouble as far as this process has seen."""
        if self.state != "closed":
            return True
        return self._last_slow and self._clock() - self._last_at < _RECENT_S

    def admit(self) -> None:
        """Let a statement or transaction begin.

        Raises DatabaseUnavailableError at once while the breaker is not closed.
        """
        if self.breaker is not None and self.breaker.state != "closed":
            self._tell(
                CallRefused(
                    policy="breaker",
                    target=self.breaker.name,
                    method="statement",
                    reason=self.breaker.state,
                ),
            )
            raise self.refusal()

    def refusal(self) -> DatabaseUnavailableError:
        """Make the error that callers get while the breaker is not closed."""
        return DatabaseUnavailableError(
            self.home, "breaker_open", retry_after_s=self.open_s
        )

    def permit(self) -> Permit | None:
        """Take part in the breaker's window, if it is closed."""
        if self.breaker is None or self.breaker.state != "closed":
            return None
        return self.breaker.acquire()

    def avoided(self) -> frozenset[str]:
        """Name the gateways to pass by now; never all of them."""
        return self._outliers.avoided(self._clock())

    def asked(self, gateway: str) -> None:
        """Take in that a statement goes to a gateway: a trial if it sat out."""
        self._outliers.asked(gateway, self._clock())

    def record(
        self,
        permit: Permit | None,
        *,
        ok: bool,
        latency_s: float,
        gateway: str = "",
        refused: bool = False,
    ) -> None:
        """Count one finished statement, or a connection that was refused.

        Without a `gateway` the region alone is judged.
        """
        now = self._clock()
        good = ok and latency_s <= self.slow_s
        self._last_at = now
        self._last_slow = not good
        if gateway:
            if self._on_answer is not None:
                self._on_answer(self.home, gateway, ok=ok, latency_s=latency_s)
            if good and self._outliers.sits_out(gateway):
                self._tell(GatewayReturned(f"database@{self.home}", gateway))
            for_s = self._outliers.record(
                gateway, good=good, now_s=now, refused=refused
            )
            if for_s:
                reason = "refused" if refused else "slow" if ok else "failed"
                self._tell(
                    GatewayEjected(f"database@{self.home}", gateway, reason, for_s)
                )
        if permit is None or self.breaker is None:
            return
        was = self.breaker.state
        if not good and gateway:
            if self._outliers.confined(now):
                self._held.append((now, permit, ok, latency_s))
                return
            self._charge_held(self.breaker, now)
        self.breaker.record(permit, ok=ok, latency_s=latency_s)
        # Those that were under way say nothing new, and would disturb the prober.
        if was == "closed" != self.breaker.state:
            self._outliers.clear()
            self._held.clear()
            if self._on_open is not None:
                self._on_open(self)

    def refused(self, gateway: str, latency_s: float) -> None:
        """Count a connection that a gateway refused."""
        self.record(
            self.permit(), ok=False, latency_s=latency_s, gateway=gateway, refused=True
        )

    def left(self, permit: Permit | None, *, after_s: float, gateway: str = "") -> None:
        """Forget a statement whose caller left, unless it was slow already by then."""
        if after_s > self.slow_s:
            self.record(permit, ok=True, latency_s=after_s, gateway=gateway)
        else:
            self.release(permit)

    def release(self, permit: Permit | None) -> None:
        """Forget a statement that says nothing about the region's health."""
        if permit is not None and self.breaker is not None:
            self.breaker.release(permit)

    def _charge_held(self, breaker: CircuitBreaker, now: float) -> None:
        while self._held:
            at, permit, ok, latency_s = self._held.popleft()
            if now - at < _WINDOW_S:
                breaker.record(permit, ok=ok, latency_s=latency_s)

    def _tell(self, event: object) -> None:
        if self._listener is not None:
            self._listener.on_event(event)
