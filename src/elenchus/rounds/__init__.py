"""Rules that decide, between two rounds of self-training, how to sample and what to keep."""
