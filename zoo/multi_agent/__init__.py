"""Multi-agent examples on PettingZoo, and the players that they are measured against."""
