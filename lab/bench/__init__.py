"""Benchmarks: what a policy costs, as ratios measured in one run."""
