"""The composition root: starts everything, runs the experiments, tells the result.

Nothing imports this room. It may import every other one, and is the only place
that does.
"""
