"""Rows -> coverage -> aggregate -> tables. Reads stored rows only and imports no torch: runs on any laptop."""
