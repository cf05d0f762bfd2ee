"""UTKFace: image files with the age in their names."""

from deepunlearn.data.folders import find_utkface as find
from deepunlearn.data.folders import read_utkface as read

__all__ = ["find", "read"]
