"""One file a revision; the first makes every table of the declaration."""
