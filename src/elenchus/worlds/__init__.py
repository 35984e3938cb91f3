"""What problem families make tasks of, with exact solvers: a world that agents act upon, graphs, a library's tasks."""
