"""The operating characteristic: how surely a gate rolls back, computed from its own steps and thresholds, and simulated."""
