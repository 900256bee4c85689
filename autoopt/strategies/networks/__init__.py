"""Networks: their shapes, and the graphs they become."""
