"""Configurations: from a command line, `conf/` and `sweeps/` to a validated sweep."""

from deepunlearn.config.command import Command, Flags, read_command
from deepunlearn.config.files import GROUPS, options, sweep_files
from deepunlearn.config.methods import method_config, method_configs

__all__ = ["GROUPS", "Command", "Flags", "method_config", "method_configs", "options", "read_command", "sweep_files"]
