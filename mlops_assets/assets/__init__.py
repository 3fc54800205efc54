"""The stages of a model's life, one module each: read inputs, call a lower room, commit, report."""
