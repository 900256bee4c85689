"""The report: one offline page about a study."""

from autoopt.report.page import render_report
from autoopt.report.view import FormLine, StudyView

__all__ = ["FormLine", "StudyView", "render_report"]
