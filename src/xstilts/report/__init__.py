"""Tables, curves and report.html of a study: `collect` what was measured, then `write_report` or print a table."""

from xstilts.report.html import write_report
from xstilts.report.results import Results, collect

__all__ = ["Results", "collect", "write_report"]
