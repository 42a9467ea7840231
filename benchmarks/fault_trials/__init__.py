"""Trials of what `docs/reliability.md` promises: each harms something, lets the library answer, and judges the answer."""
