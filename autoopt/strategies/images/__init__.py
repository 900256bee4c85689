"""Strategies that prepare images."""
