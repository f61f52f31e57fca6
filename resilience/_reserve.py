"""How many places to keep free for those who matter more.

Trunk reservation, by which telephone networks protect calls from overflowing ones
(Akinpelu, "The overload performance of engineered networks with nonhierarchical and
hierarchical routing", AT&T Bell Laboratories Technical Journal 1984; Kelly, "Loss
networks", Annals of Applied Probability 1991): lesser calls are taken only while more
than so many places are free. A few places suffice where the protected are few.
"""

from collections.abc import Sequence

# The weight of an interval in what is known of each kind's need.
_WEIGHT = 0.2


def kept_places(busy: float, limit: int, protected: float) -> int:
    """Return how many of *limit* places lesser calls leave free.

    *busy* is how many places those who matter more would take up. No crowd of lesser
    calls then makes more than 1 - *protected* of theirs find the limit full, beyond
    what they would find without any (Erlang's B). Exact for calls that come at random:
    a crowd without end holds the places it may take, and above these the odds of
    each number of places taken to the next lower one are *busy* to the lower number
    plus one. O(limit) at worst.
    """
    if busy <= 0:
        return 0
    miss = 1 - protected
    # For each number kept: the weights of full, one free, two free, ... up to it.
    weight, sums = 1.0, [1.0]
    for taken in range(limit, 0, -1):
        if miss * sums[-1] >= 1:
            break
        weight *= taken / busy
        sums.append(sums[-1] + weight)
    alone = 1 / sums[-1] if len(sums) > limit else 0.0
    return next(kept for kept, each in enumerate(sums) if 1 / each - alone <= miss)


class Reserve:
    """The share of a limit that each kind of call may fill; kinds rank from 0 up.

    *most* are the shares at most. What a kind needs is what it has in flight and what
    of it was refused, smoothed over some intervals; kinds below leave room for it, so
    that it finds a place in *protected* of its calls, as far as the limit allows.
    """

    def __init__(self, most: Sequence[float], protected: float) -> None:
        self._most = most
        self._protected = protected
        self._needs = [0.0] * len(most)
        self._refused = [0] * len(most)
        self.shares = tuple(most)

    def refused(self, kind: int) -> None:
        """Take in that a call of *kind* was turned away."""
        self._refused[kind] += 1

    def adapt(self, in_flight: Sequence[int], limit: int, intervals: float) -> None:
        """Find the shares anew from the calls *in_flight* of each kind."""
        weight = 1 - (1 - _WEIGHT) ** intervals
        above, kept = 0.0, 0
        shares = list(self._most)
        for kind in reversed(range(len(shares))):
            # Overload far above needs less kept; it must not favour the lower.
            kept = max(kept, kept_places(above, limit, self._protected))
            shares[kind] = min(shares[kind], 1 - kept / limit)
            need = min(limit, in_flight[kind] + self._refused[kind])
            self._needs[kind] += (need - self._needs[kind]) * weight
            # Whoever was there an hour ago needs nothing now.
            if self._needs[kind] < 0.01:
                self._needs[kind] = 0.0
            above += self._needs[kind]
            self._refused[kind] = 0
        self.shares = tuple(shares)

    def __repr__(self) -> str:
        return f"<Reserve {' '.join(f'{share:.0%}' for share in self.shares)}>"
