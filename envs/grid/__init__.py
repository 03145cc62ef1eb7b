"""GridWorld, from the text of a map to its exact model, its pictures and its vectorised form."""
