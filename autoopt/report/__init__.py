"""The report: one offline page about a study."""

from autoopt.report.page import render_report
from autoopt.report.view import StudyView

__all__ = ["StudyView", "render_report"]
