"""One switch for every policy of the process, for tests; see resilience.testing."""

ON = True
"""Whether clients apply their policies; `resilience.testing.policies_off` clears it."""
