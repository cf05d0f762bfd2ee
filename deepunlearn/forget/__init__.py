"""Kinds of forget sets: one file each, found by name. docs/adding.md shows how to add one."""
