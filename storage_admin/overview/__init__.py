"""A picture of the storage: what is known of it at one moment, and the page that shows it."""

from __future__ import annotations

from storage_admin.overview.gathering import COUNT_UP_TO, look
from storage_admin.overview.page import page
from storage_admin.overview.report import write_report
from storage_admin.overview.values import Age, Gap, IndexView, Overview, TableView

__all__ = ["COUNT_UP_TO", "Age", "Gap", "IndexView", "Overview", "TableView", "look", "page", "write_report"]
