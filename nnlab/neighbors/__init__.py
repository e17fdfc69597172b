"""Nearest neighbours: exact search, its distance kernels, and what the search looks at."""
