"""Judging a policy before it is used: the same history, played by each, without Dagster."""
