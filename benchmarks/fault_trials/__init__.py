"""Trials of what `docs/reliability.md` promises: each harms something, and judges the library's answer."""
