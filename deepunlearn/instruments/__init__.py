"""What measures of models and of the unlearning call share: relearning, similarity of layers, counters and meters."""
