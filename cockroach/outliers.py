"""A region's gateways judged apart: one that does worse than the others sits out.

Consecutive bad answers eject a gateway, each time for longer, as Envoy's outlier
detection does it; never all of them, since then it is not the gateway. Pure: the
time is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

_CONSECUTIVE = 2
_BASE_S = 1.0
_MOST_S = 8.0
# A good answer says for so long that a gateway does well.
_RECENT_S = 3.0
_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GatewayEjected:
    """A gateway is passed by for `for_s` seconds while another does well."""

    target: str
    gateway: str
    reason: str
    for_s: float


@dataclass(slots=True)
class _Gateway:
    good: bool = True
    at_s: float = float("-inf")
    bad_in_a_row: int = 0
    ejections: int = 0
    ejected_until_s: float = float("-inf")


class Outliers:
    """What one process knows of the gateways of one region."""

    def __init__(self) -> None:
        self._gateways: dict[str, _Gateway] = {}
        self._any_ejected = False

    def record(
        self, gateway: str, *, good: bool, now_s: float, refused: bool = False
    ) -> float:
        """Count one answer; the seconds that the gateway sits out from now, or 0.

        A refused connection ejects at once, other bad answers when two come in a row.
        """
        one = self._gateways.setdefault(gateway, _Gateway())
        one.good, one.at_s = good, now_s
        if good:
            one.bad_in_a_row = one.ejections = 0
            return 0.0
        one.bad_in_a_row += 1
        enough = refused or one.bad_in_a_row >= _CONSECUTIVE
        if not enough or now_s < one.ejected_until_s or not self.confined(now_s):
            return 0.0
        seconds = min(_MOST_S, _BASE_S * 2.0**one.ejections)
        one.ejections += 1
        one.ejected_until_s = now_s + seconds
        self._any_ejected = True
        return seconds

    def confined(self, now_s: float) -> bool:
        """Tell whether some gateway does well, so that trouble is not the region's."""
        return any(_does_well(one, now_s) for one in self._gateways.values())

    def avoided(self, now_s: float) -> frozenset[str]:
        """Name the gateways to pass by now: none unless another one does well."""
        if not self._any_ejected:
            return _NOBODY
        out = {
            name
            for name, one in self._gateways.items()
            if now_s < one.ejected_until_s and not one.good
        }
        if not out:
            self._any_ejected = any(
                now_s < one.ejected_until_s for one in self._gateways.values()
            )
        return frozenset(out) if self.confined(now_s) else _NOBODY

    def clear(self) -> None:
        """Forget everything: the region as a whole is judged from here."""
        self._gateways.clear()
        self._any_ejected = False


def _does_well(one: _Gateway, now_s: float) -> bool:
    return one.good and now_s - one.at_s < _RECENT_S
