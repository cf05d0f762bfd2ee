"""Attacks by a number for each sample, each one function and a YAML in conf/attack; docs/adding.md."""
