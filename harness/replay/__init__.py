"""Unit tests for gates: an analysis decided again on recorded or synthetic series, by real Prometheus, without a cluster.

The order inside is notation and samples (what a series is) → wire and prometheus (a real Prometheus that holds them) →
subjects and analysis (what an AnalysisRun makes of its measurements) → cases and evaluate → render and command.
record writes down what a run needs to be decided again, and agreement decides it again.
"""
