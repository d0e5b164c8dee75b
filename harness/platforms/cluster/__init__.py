"""What every platform shares that is reached by a kubeconfig: a context that was named, and never the current one by itself."""
