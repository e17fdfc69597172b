"""The report: runs as one self-contained page of curves, diagnostics, weights and mistakes."""

from nnlab.report.document import Pictures, write_report

__all__ = ["Pictures", "write_report"]
