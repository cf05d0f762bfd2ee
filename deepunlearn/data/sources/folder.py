"""Image files in a folder for each class."""

from deepunlearn.data.folders import find_folder as find
from deepunlearn.data.folders import read_folder as read

__all__ = ["find", "read"]
