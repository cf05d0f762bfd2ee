"""From files to batches: sources read, `decoded` decodes once, `splits` cuts, `loader` serves batches."""
