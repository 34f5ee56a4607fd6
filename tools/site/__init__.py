"""Builds the notebooks and pages from their sources."""
