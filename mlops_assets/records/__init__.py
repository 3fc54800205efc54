"""Every recorded fact: files that anyone adds, and DuckDB as the index over them."""
