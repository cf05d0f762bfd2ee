"""A method and a measure for deepunlearn."""
