"""The figures of Sutton & Barto (2nd ed.), measured again: numbers over many runs, and a drawing of each."""
