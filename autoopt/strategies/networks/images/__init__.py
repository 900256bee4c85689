"""Networks that learn from images: their cards, and beside each the torch module that it builds."""
