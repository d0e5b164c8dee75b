"""A lint for progressive-delivery gates: what in an AnalysisTemplate, Rollout or its routes lets a bad release through.

Everything but `files.py` and `command.py` is PURE: YAML text goes in, findings come out. The order inside is
source (YAML with line numbers) → subject (typed views) → the rules' own modules → check (which puts them together) → render.
"""
