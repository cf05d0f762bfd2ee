"""deepunlearn: a benchmark sweep harness for machine unlearning in image classification."""

__version__ = "0.1.0"
