"""PURE: the language of conditions (expr-lang), read, checked and evaluated as the rollouts controller does it."""
