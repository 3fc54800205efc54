"""The contract over a lakeFS server, through its SDK."""
