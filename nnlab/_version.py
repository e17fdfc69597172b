"""The version, alone in a file so that builds and `nnlab --version` read it without NumPy."""

__version__ = "0.1.0"
