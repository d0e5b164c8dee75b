"""The local platform: real parts as processes on loopback, without Docker and without root."""
