"""BOP metrics and reports."""
