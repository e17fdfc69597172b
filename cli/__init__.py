"""The face of nnlab: commands that parse, call the library and show the answer."""
