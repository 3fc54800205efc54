"""The whole life of a machine-learning model, written as Dagster assets."""
