"""Worlds that agents act upon, with exact solvers. Problem families make tasks of them."""
