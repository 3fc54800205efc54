"""MLflow runs and aliases, and the ledger of promotions."""
