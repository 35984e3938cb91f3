"""The words of recipes by theme: each method describes one stage and returns it. `lab.Lab` has them all."""
