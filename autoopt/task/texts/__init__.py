"""What texts bring along: vectors of words that others have learned."""
