"""A table of scenarios with the decision that each is due, run on one warm platform."""
