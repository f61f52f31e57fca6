"""Faults with a verdict: experiments that prove themselves, judged from traces."""
