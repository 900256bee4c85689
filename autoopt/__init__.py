"""autoopt: one search over models, training tricks and deployment."""

__version__ = "0.1.0"
