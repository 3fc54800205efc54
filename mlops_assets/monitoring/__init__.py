"""One model between its windows, without Dagster: what is due, and what waits for what."""
