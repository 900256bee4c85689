"""Strategies for tables: from raw columns to features."""
