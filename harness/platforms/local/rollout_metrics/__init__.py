"""Stands in for the rollouts controller's metrics, which it serves on every interface or not at all (components/rollouts.py)."""
