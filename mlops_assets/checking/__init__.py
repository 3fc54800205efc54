"""What a declaration says, tried: without data, on made rows, and on a file."""
