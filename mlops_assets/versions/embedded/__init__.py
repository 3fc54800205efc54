"""The embedded repository: git whose blobs are Git-LFS pointers, in a folder, without a server."""
