"""Proves that a canary gate promotes what is good and rolls back what is bad, on real parts."""
