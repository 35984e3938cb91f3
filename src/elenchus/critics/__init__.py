"""Critics: what writes critiques, and the one format they are written in."""
