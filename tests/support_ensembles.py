"""A search whose trials are weak, each in its own way, so that they are better together."""

from pathlib import Path

SPACE = """
name: weak
dimensions:
  model: [random_forest]
  impute: [median]
  random_forest.n_trees: {low: 1, high: 3}
  random_forest.max_leaf_nodes: {low: 16, high: 64}
  random_forest.max_features_share: {low: 0.1, high: 0.3}
  quantize: [none]
"""
"""Forests of hardly a tree, each with other features: none is good, and each errs elsewhere."""
DATA = "demo:digits"


def weak_space(folder: Path) -> Path:
    """The space as a file."""
    path = folder / "weak.yaml"
    path.write_text(SPACE)
    return path
