"""Bills of materials of everything that is pinned, and the judgement of what scanners of known vulnerabilities say of it."""
