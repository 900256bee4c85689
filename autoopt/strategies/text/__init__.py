"""Texts: cleaned, cut into tokens and turned into numbers, and the models that read n-gram counts."""
