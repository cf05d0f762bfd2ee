"""`python -m deepunlearn.share`: stored models and scores in one file, for another lab's store (docs/sharing.md)."""
