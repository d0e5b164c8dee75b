"""A live page about a release on a platform that is up: read-only, on loopback, for one person's eyes.

`model` and `promises` are pure: from objects and samples to the page's data. `source` reads, `logs` reads tails, `server` serves.
"""
