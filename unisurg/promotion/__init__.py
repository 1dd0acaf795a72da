"""When a new model becomes champion: evidence, the gate, what makes it unclean, the decision."""
