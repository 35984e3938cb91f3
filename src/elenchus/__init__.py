"""Elenchus: reproducible experiments on language models that criticise, correct and train themselves."""
