"""What everything else stands on: errors, keys, seeds, configuration schema, paths, store. No torch here."""
