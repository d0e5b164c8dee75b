"""PURE: the rules, one module for each thing that is looked at."""
