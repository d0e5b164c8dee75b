"""The kind platform: the whole architecture in a cluster of containers on this machine."""
