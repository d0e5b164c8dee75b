"""Starts, watches and stops a set of programs on this machine; knows nothing of what they are for.

``component`` and ``plan`` are data and pure functions; ``supervisor.Supervisor`` runs a plan. Linux only: it relies on
parent-death signals, sub-reapers and ``/proc``.
"""
