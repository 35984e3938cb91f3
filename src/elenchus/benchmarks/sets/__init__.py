"""One module a data set: its card, and how a record of it reads."""
