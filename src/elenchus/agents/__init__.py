"""Agents in worlds: roll-outs of several turns, and the training dialogues that are made of them."""
