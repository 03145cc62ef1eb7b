"""Small games for several agents: PettingZoo's interface over exact, open models.

matrix_game.py    games that are one table: prisoner's dilemma, rock-paper-scissors, ...
equilibria.py     what theory says of them: Nash equilibria
carry.py, tag.py  grid games: two carry a box together; a chaser and a runner
joint_game.py     what those two share: agents that move at once. joint_model.py, board.py, drawing.py: its parts
shapley.py        the exact solution where two sides play against each other
"""
