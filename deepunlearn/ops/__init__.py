"""What methods share. Each operation has a slow oracle in `tests/ops`."""
