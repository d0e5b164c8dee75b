"""A cluster that is there already: a kube context that the user names. Nothing in it is ours but what a run makes and removes."""
