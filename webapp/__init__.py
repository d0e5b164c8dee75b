"""The web application that is released: a small HTTP service whose faults are exact, seeded and measured.

It is what the gate judges, so it promises three things: a configured fault rate is the rate that clients get, what is
injected is what is measured, and nothing but user traffic counts.
"""

__version__ = "dev"
