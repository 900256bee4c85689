"""How prepared training data are held: one file a form."""
