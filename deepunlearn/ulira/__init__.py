"""U-LiRA (protocol section 8): the per-sample attack, its design of halvings and its models."""
