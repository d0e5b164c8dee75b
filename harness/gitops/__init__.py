"""A release as a commit: the repository, the pipeline step that bumps an image in it, and what Argo CD makes of that."""
