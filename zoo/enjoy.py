"""``sb3-ext enjoy``: RL Zoo's ``enjoy`` with ours registered; without a screen it writes a film."""

DESCRIPTION = "Watch a trained agent: RL Zoo's enjoy, for every algorithm and environment here."
EXAMPLE = """examples:
  sb3-ext enjoy --algo reinforce --env CartPole-v1                  the last model that `sb3-ext train` wrote to logs/
  sb3-ext enjoy --algo ppo --env LunarLander-v3 --load-best -n 3000
  sb3-ext enjoy --algo q_learning --env FrozenLake-v1 --no-render   only the returns

Where no window can be opened (no DISPLAY), it writes a film of the -n steps beside the model and prints its name.
Without -f it looks in logs/, then in what ships with sb3-ext, then, as RL Zoo does, in rl-trained-agents/ and on the
Hugging Face Hub. Load models of people whom you trust only: a model file can hold code. --verbose 2 shows where an
error comes from."""


def main(arguments: list[str]) -> int:
    """Play; 2 for a mistake."""
    from sb3_ext.zoo.rl_zoo import import_rl_zoo

    import_rl_zoo()
    from sb3_ext.zoo.playing import Player

    return Player("enjoy").run(arguments, DESCRIPTION, EXAMPLE)
