"""Plays episodes of a saved model, one step after the other, as pictures."""

import io
from collections import deque
from typing import Any

import numpy as np
from PIL import Image
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.zoo.watch.messages import Message
from sb3_ext.zoo.watch.session import packed

WIDEST = 900  # pixels of a picture
RETURNS_KEPT = 200


class Player:
    """One tab that looks at one model; the same interface as a ``Session``'s.

    Args:
        model: An SB3 model.
        env: One environment, as the model was trained in.
        name: Shown on the page.
        draws: Whether the environment draws pictures (``render_mode="rgb_array"``).
    """

    def __init__(self, model: Any, env: VecEnv, name: str, draws: bool) -> None:
        self.model, self.env, self.name, self.draws = model, env, name, draws
        self.running, self.speed = False, 0.0
        self.masked = is_masking_supported(env) and "action_masks" in model.predict.__code__.co_varnames
        metadata: dict[str, Any] = env.metadata or {}
        self.fps = min(float(metadata.get("render_fps", 30)), 30.0)
        self.returns: deque[float] = deque(maxlen=RETURNS_KEPT)
        self.n_episodes = 0
        self._owed = 0.0
        self._begin()

    def _begin(self) -> None:
        self.observation: Any = self.env.reset()
        self._new_episode()

    def _new_episode(self) -> None:
        self.state: Any = None
        self.starts = np.ones(1, dtype=bool)
        self.n_steps, self.return_, self.reward, self.action = 0, 0.0, 0.0, ""
        self.over = False

    def handle(self, message: Message) -> bool:
        """Does what a message asks for."""
        self.running = message.type == "run"
        if message.type == "run":
            self.speed, self._owed = message.speed, 0.0
        elif message.type == "step":
            self.step()
        elif message.type == "reset":
            self._begin()
        return False

    def advance(self, seconds: float, elapsed: float) -> bool:
        """Plays as many steps as the speed asks for; 0 is the environment's own."""
        del seconds
        self._owed = min(self._owed + (self.speed or self.fps) * elapsed, 10.0)
        for _ in range(int(self._owed)):
            self.step()
        self._owed %= 1.0
        return False

    def step(self) -> None:
        """Makes one step, greedily; after the last of an episode, the first picture of the next comes first."""
        if self.over:
            self._new_episode()
            return
        masks = {"action_masks": get_action_masks(self.env)} if self.masked else {}
        action, self.state = self.model.predict(
            self.observation, state=self.state, episode_start=self.starts, deterministic=True, **masks
        )
        self.observation, rewards, dones, infos = self.env.step(action)
        self.starts, self.over = dones, bool(dones[0])
        self.n_steps += 1
        self.reward, self.action = float(rewards[0]), np.array2string(np.asarray(action[0]), precision=3)
        self.return_ += self.reward
        if self.over:
            self.return_ = float(infos[0].get("episode", {}).get("r", self.return_))  # the monitor's is the raw one
            self.returns.append(self.return_)
            self.n_episodes += 1

    def frame(self, number: int) -> bytes:
        """The picture at present, after the head."""
        head = {
            "type": "play", "number": number, "running": self.running, "name": self.name, "step": self.n_steps,
            "return": self.return_, "reward": self.reward, "action": self.action, "over": self.over,
            "episodes": self.n_episodes, "draws": self.draws,
            "observation": "" if self.draws else str(self.observation)[:500],
        }  # fmt: skip
        return packed(head, {"returns": np.array(self.returns)}) + self._picture()

    def _picture(self) -> bytes:
        pixels = self.env.render(mode="rgb_array") if self.draws else None
        if pixels is None:
            return b""
        picture = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
        picture.thumbnail((WIDEST, WIDEST))
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=88)
        return written.getvalue()
