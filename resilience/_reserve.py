"""How many places to keep free for those who matter more.

Trunk reservation, by which telephone networks protect calls from overflowing ones
(Akinpelu, "The overload performance of engineered networks with nonhierarchical and
hierarchical routing", AT&T Bell Laboratories Technical Journal 1984; Kelly, "Loss
networks", Annals of Applied Probability 1991): lesser calls are taken only while more
than so many places are free. A few places suffice where the protected are few.
"""


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
