"""The report: one offline page about a study."""

from autoopt.report.view import StudyView, render_report

__all__ = ["StudyView", "render_report"]
