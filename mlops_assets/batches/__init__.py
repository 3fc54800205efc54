"""Sources of a batch, its schema and quality, and how it lands in the repository."""
