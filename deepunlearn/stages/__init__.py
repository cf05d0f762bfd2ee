"""The stages split -> reference -> unlearned -> metrics -> row. Each: key, return if stored, compute, store."""
