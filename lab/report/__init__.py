"""The report of stored runs: one page, the same as Markdown, the same as JSON.

It reads what a run wrote down and judges nothing again.
"""
