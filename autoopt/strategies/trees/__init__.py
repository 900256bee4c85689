"""Trees: learners, and the arrays and graphs they become."""
