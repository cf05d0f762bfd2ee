"""Measures beside those of every row: one file here and one YAML in `conf/measure/` each."""
