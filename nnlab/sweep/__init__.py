"""Hyper-parameter search: many ordinary runs, by as many workers as there are."""
