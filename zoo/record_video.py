"""``sb3-ext record-video``: RL Zoo's ``record_video`` with ours registered."""

DESCRIPTION = "Film a trained agent (MP4): RL Zoo's record_video, for every algorithm and environment here."
EXAMPLE = """examples:
  sb3-ext record-video --algo reinforce --env CartPole-v1 -n 500         beside the model, in logs/
  sb3-ext record-video --algo ppo --env LunarLander-v3 --load-best -o films

No screen is needed. Without -f it looks where `sb3-ext enjoy` does. Load models of people whom you trust only: a model
file can hold code."""


def main(arguments: list[str]) -> int:
    """Film; 2 for a mistake."""
    from sb3_ext.zoo.rl_zoo import import_rl_zoo

    import_rl_zoo()
    from sb3_ext.zoo.playing import Player

    return Player("record-video").run(arguments, DESCRIPTION, EXAMPLE)
