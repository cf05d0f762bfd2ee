"""A deletion request, end to end: the samples that a list names are unlearned, and what that did is checked and told.

The command is `python -m deepunlearn.forget` (docs/deletion.md).
"""
