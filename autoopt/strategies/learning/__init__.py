"""How a network learns: the training loop and the choices in it."""
