"""The run file: one run of one model, written whole or not at all."""
