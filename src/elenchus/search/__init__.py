"""Tree search over partial solutions, and what its trees teach."""
