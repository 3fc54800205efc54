"""History brought in: a folder or a DVC project becomes windows."""
