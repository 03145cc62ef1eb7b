"""The worlds of Sutton & Barto that are not grids, each with its exact solution."""
