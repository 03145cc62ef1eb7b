"""OpponentPool and SelfPlayCallback: what is on disk, who is drawn, what damaged files do, going on after a break."""

import json
import pickle
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pettingzoo
import pytest
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

from sb3_ext.multi_agent.elo import updated_elo
from sb3_ext.multi_agent.opponent_pool import OpponentPool
from sb3_ext.multi_agent.self_play import SelfPlayEnv
from sb3_ext.multi_agent.self_play_callback import SelfPlayCallback

tic_tac_toe = partial(pettingzoo.make, "aec", "classic/tictactoe_v3")
BOARD, MASK = np.zeros((3, 3, 2), dtype=np.int8), np.ones(9, dtype=bool)


def learner(env: Any = None, seed: int = 0, n_steps: int = 16) -> MaskablePPO:
    env = env if env is not None else SelfPlayEnv(tic_tac_toe)
    kwargs: dict[str, Any] = {"n_steps": n_steps, "batch_size": 16, "n_epochs": 1, "policy_kwargs": {"net_arch": [8]}}
    return MaskablePPO("MlpPolicy", env, seed=seed, **kwargs)


def filled(folder: Path, n: int = 3, **kwargs: Any) -> OpponentPool:
    pool = OpponentPool(folder, **kwargs)
    for seed in range(n):
        pool.add(learner(seed=seed))
    return pool


def drawn(pool: OpponentPool, n: int = 600) -> dict[str, int]:
    generator = np.random.default_rng(0)
    names = [pool.sample(generator)[0] for _ in range(n)]
    return {name: names.count(name) for name in sorted(set(names))}


def index(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "index.json").read_text())


# --- sampling


def test_an_empty_pool_plays_at_random(tmp_path: Path) -> None:
    assert drawn(OpponentPool(tmp_path / "new" / "pool"), 5) == {"random": 5}


def test_latest(tmp_path: Path) -> None:
    assert drawn(filled(tmp_path, sampling="latest"), 10) == {"snapshot_0003": 10}


def test_uniform(tmp_path: Path) -> None:
    counts = drawn(filled(tmp_path, sampling="uniform"))
    assert list(counts) == ["snapshot_0001", "snapshot_0002", "snapshot_0003"]
    assert list(counts.values()) == pytest.approx([200] * 3, abs=50)


def test_a_share_of_the_games_is_against_the_newest(tmp_path: Path) -> None:
    pool = filled(tmp_path, sampling="uniform", latest_share=0.4)
    np.testing.assert_allclose(pool.probabilities(list(pool.snapshots)), [0.2, 0.2, 0.6])
    with pytest.raises(ValueError, match=r"latest_share must lie between 0 and 1, got 1\.5"):
        OpponentPool(tmp_path, latest_share=1.5)


def test_prioritized_prefers_whom_the_learner_loses_to(tmp_path: Path) -> None:
    pool = filled(tmp_path, sampling="prioritized", power=2.0)
    names = list(pool.snapshots)
    np.testing.assert_allclose(pool.probabilities(names), [1 / 3] * 3)  # 1/2 each before the first game
    pool.record([(names[0], 1), (names[1], 0), (names[2], -1)])  # win rates 1, 1/2, 0
    np.testing.assert_allclose(pool.probabilities(names), [0.0, 0.2, 0.8])  # 0 : 1/4 : 1
    assert drawn(pool).keys() == {names[1], names[2]}
    pool.record([(names[1], 1)] * 10_000 + [(names[2], 1)] * 10_000)  # nobody is left to lose to
    np.testing.assert_allclose(pool.probabilities(names), [1 / 3] * 3)


def test_win_rate_forgets_old_games(tmp_path: Path) -> None:
    pool = filled(tmp_path, 1)
    pool.record([("snapshot_0001", -1)] * 500)
    pool.record([("snapshot_0001", 1), ("snapshot_0001", 0)])
    points, games = 0.99 * 1 + 0.5, sum(0.99**age for age in range(502))
    assert pool.snapshots["snapshot_0001"].win_rate == pytest.approx(points / games)


def test_the_oldest_are_deleted_and_numbers_are_not_used_again(tmp_path: Path) -> None:
    filled(tmp_path, 4, max_size=2)
    assert list(index(tmp_path)["snapshots"]) == ["snapshot_0003", "snapshot_0004"]
    assert sorted(path.stem for path in tmp_path.glob("*.zip")) == ["snapshot_0003", "snapshot_0004"]
    assert OpponentPool(tmp_path).add(learner()) == "snapshot_0005"
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.json",
        *(f"snapshot_000{i}.zip" for i in (3, 4, 5)),
    }


def test_a_folder_that_is_moved_away_does_not_end_the_training(tmp_path: Path) -> None:
    pool = filled(tmp_path / "pool", 1)
    (tmp_path / "pool").rename(tmp_path / "elsewhere")
    assert pool.add(learner()) == "snapshot_0002"
    pool.record([("snapshot_0002", 1)])
    assert OpponentPool(tmp_path / "pool").elo == pool.elo > 1000


# --- players


def test_a_snapshot_plays_as_the_model_that_it_was(tmp_path: Path) -> None:
    models = [learner(seed=seed) for seed in (1, 2)]
    pool = OpponentPool(tmp_path, sampling="latest", deterministic=True)
    for model in models:
        pool.add(model)
        _, player = pool.sample(np.random.default_rng(0))
        for cell in range(9):
            board = BOARD.copy()
            board[cell // 3, cell % 3, 1] = 1
            mask = np.arange(9) != cell
            action = player(board, mask, "player_2", np.random.default_rng(0))
            assert action == model.predict(board, deterministic=True, action_masks=mask)[0]
        assert pool.sample(np.random.default_rng(0))[1] is player  # loaded once


@pytest.mark.parametrize("algorithm", [MaskablePPO, DQN])
def test_loading_leaves_the_global_generators_alone(tmp_path: Path, algorithm: Any) -> None:
    kwargs = {"buffer_size": 1000} if algorithm is DQN else {}
    OpponentPool(tmp_path).add(algorithm("MlpPolicy", SelfPlayEnv(tic_tac_toe), seed=0, **kwargs))
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert OpponentPool(tmp_path).sample(np.random.default_rng(0))[0] == "snapshot_0001"
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_another_pool_on_the_folder_notices_changes(tmp_path: Path) -> None:
    writer, reader = OpponentPool(tmp_path, sampling="latest"), OpponentPool(tmp_path, sampling="latest")
    for number in (1, 2, 3):
        writer.add(learner())
        assert drawn(reader, 3) == {f"snapshot_000{number}": 3}
    writer.record([("snapshot_0003", 1)])
    reader.refresh()
    assert reader.elo == writer.elo == 1008.0
    assert reader.snapshots["snapshot_0003"].win_rate == 1.0


def test_a_snapshot_deleted_under_a_readers_eyes_is_no_damage(tmp_path: Path) -> None:
    pool = filled(tmp_path, 2, sampling="uniform")
    reader = OpponentPool(tmp_path, sampling="uniform")
    stale = reader._index_seen
    pool.max_size = 1
    pool.add(learner())
    reader.refresh = lambda: None if reader._index_seen == stale else OpponentPool.refresh(reader)  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn(reader, 5) == {"snapshot_0003": 5}
    assert reader.broken == {}


def test_pools_travel_to_other_processes(tmp_path: Path) -> None:
    pool = filled(tmp_path, 2)
    drawn(pool)
    assert len(pickle.dumps(pool)) < 2000
    assert drawn(pickle.loads(pickle.dumps(pool))) == drawn(pool)


# --- damage


def test_broken_snapshots_are_named_and_passed_over(tmp_path: Path) -> None:
    filled(tmp_path, 4)
    half = (tmp_path / "snapshot_0002.zip").read_bytes()
    (tmp_path / "snapshot_0001.zip").write_bytes(b"not a model")
    (tmp_path / "snapshot_0002.zip").write_bytes(half[: len(half) // 2])
    (tmp_path / "snapshot_0004.zip").unlink()
    pool = OpponentPool(tmp_path, sampling="uniform")
    with pytest.warns(UserWarning, match="cannot be read") as caught:
        assert drawn(pool, 50) == {"snapshot_0003": 50}
    told = " ".join(str(warning.message) for warning in caught)
    assert all(f"snapshot_000{number}.zip cannot be read" in told for number in (1, 2, 4))
    assert len(caught) == 3  # once each
    assert pool.broken.keys() == {"snapshot_0001", "snapshot_0002", "snapshot_0004"}
    assert (tmp_path / "snapshot_0001.zip").read_bytes() == b"not a model"


def test_with_all_broken_opponents_play_at_random(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    (tmp_path / "snapshot_0001.zip").write_bytes(b"")
    env = SelfPlayEnv(tic_tac_toe, OpponentPool(tmp_path), seat="player_1")
    with pytest.warns(UserWarning, match=r"snapshot_0001\.zip cannot be read"):
        env.reset(seed=0)
    env.step(0)


def test_a_file_that_the_index_does_not_know_is_named_and_kept(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    content = (tmp_path / "snapshot_0002.zip").read_bytes()
    (tmp_path / "snapshot_0003.zip").write_bytes(content)  # a crash between the model and the index
    (tmp_path / "snapshot_best.zip").write_bytes(content)
    with pytest.warns(UserWarning, match="not in the pool's index") as caught:
        pool = OpponentPool(tmp_path)
    assert len(caught) == 2
    assert pool.add(learner()) == "snapshot_0004"
    assert (tmp_path / "snapshot_0003.zip").read_bytes() == content


@pytest.mark.parametrize("text", ["{", "[]", '{"elo": 3}', '{"elo": 3, "snapshots": {"a": {"strength": 1}}}'])
def test_a_damaged_index_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    filled(tmp_path, 1)
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(ValueError, match=r"index\.json is no index of an opponent pool.*move the folder away"):
        OpponentPool(tmp_path)
    assert (tmp_path / "index.json").read_text() == text


def test_a_crash_while_writing_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = filled(tmp_path, 1)
    old = index(tmp_path)
    monkeypatch.setattr("sb3_ext.multi_agent.opponent_pool.os.replace", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):  # noqa: PT011
        pool.record([("snapshot_0001", 1)])
    assert index(tmp_path) == old


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'latest', 'uniform' or 'prioritized', got 'best'"):
        OpponentPool(tmp_path, sampling="best")
    with pytest.raises(ValueError, match="max_size=0"):
        OpponentPool(tmp_path, max_size=0)
    with pytest.raises(ValueError, match="every=0"):
        SelfPlayCallback(OpponentPool(tmp_path), every=0)


# --- training


def train(folder: Path, steps: int, every: int = 64, seed: int = 0, **kwargs: Any) -> tuple[MaskablePPO, OpponentPool]:
    pool = OpponentPool(folder)
    env = make_vec_env(SelfPlayEnv, 2, seed=seed, env_kwargs={"env": tic_tac_toe, "opponents": pool}, **kwargs)
    model = learner(env, seed)
    model.set_logger(configure(str(folder / "log"), ["csv"]))
    model.learn(steps, callback=SelfPlayCallback(pool, every=every))
    env.close()
    return model, pool


def test_training_adds_snapshots_and_logs(tmp_path: Path) -> None:
    model, pool = train(tmp_path, 256)
    assert [entry.steps for entry in pool.snapshots.values()] == [0, 64, 128, 192, 256]
    with (tmp_path / "log" / "progress.csv").open() as file:
        keys = set(file.readline().strip().split(","))
    assert keys >= {f"self_play/{key}" for key in ("elo", "win_rate", "draw_rate", "loss_rate", "pool_size", "games")}
    assert model.logger is not None
    assert index(tmp_path)["elo"] == pool.elo


def test_elo_is_that_of_the_games(tmp_path: Path) -> None:
    """Recomputed game by game from the infos; a snapshot inside a rollout gets the rating of its moment."""
    pool = OpponentPool(tmp_path)
    ratings = {"random": 1000.0, "snapshot_0001": 1000.0}
    elo, games = 1000.0, 0

    class Spy(SelfPlayCallback):
        def _on_step(self) -> bool:
            nonlocal elo, games
            for info in self.locals["infos"]:
                for name in info.get("self_play", {"opponents": {}})["opponents"].values():
                    elo = updated_elo(elo, ratings[name], info["self_play"]["result"], 20.0)
                    games += 1
            super()._on_step()
            ratings.update({name: elo for name in pool.snapshots if name not in ratings})
            return True

    env = make_vec_env(SelfPlayEnv, 2, seed=0, env_kwargs={"env": tic_tac_toe, "opponents": pool})
    callback = Spy(pool, every=50, k=20.0)
    learner(env).learn(256, callback=callback)
    assert games == callback.games > 50
    assert len(ratings) == 7
    assert pool.elo == pytest.approx(elo)
    assert {name: entry.elo for name, entry in pool.snapshots.items()} == pytest.approx(
        {name: rating for name, rating in ratings.items() if name != "random"}
    )


def test_a_training_that_is_stopped_loses_no_game(tmp_path: Path) -> None:
    pool = OpponentPool(tmp_path)
    callback = SelfPlayCallback(pool)

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return callback.games < 7

    env = SelfPlayEnv(tic_tac_toe, pool)
    learner(env, n_steps=64).learn(256, callback=[callback, Stop()])
    recorded = OpponentPool(tmp_path).snapshots["snapshot_0001"].games  # the first game was against random
    assert recorded == pytest.approx(sum(0.99**age for age in range(6)))


def test_same_seed_same_training(tmp_path: Path) -> None:
    """Also with opponents in other processes, whose torch nobody seeded."""
    runs = [
        train(tmp_path / "dummy", 192),
        train(tmp_path / "again", 192),
        train(tmp_path / "spawn", 192, vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "spawn"}),
        train(tmp_path / "other", 192, seed=1),
    ]
    weights = [next(model.policy.parameters()).detach().numpy() for model, _ in runs]
    for weight, (_, pool) in zip(weights[1:3], runs[1:3], strict=True):
        np.testing.assert_array_equal(weights[0], weight)
        assert pool.elo == runs[0][1].elo
        assert pool.snapshots == runs[0][1].snapshots
    assert not np.array_equal(weights[0], weights[3])


def test_a_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    model, before = train(tmp_path, 128)
    pool = OpponentPool(tmp_path)
    assert (pool.elo, pool.snapshots) == (before.elo, before.snapshots)
    env = make_vec_env(SelfPlayEnv, 2, env_kwargs={"env": tic_tac_toe, "opponents": pool})
    model.set_env(env)
    model.learn(128, callback=SelfPlayCallback(pool, every=64), reset_num_timesteps=False)
    assert [entry.steps for entry in pool.snapshots.values()] == [0, 64, 128, 192, 256]
    old = {name: entry.elo for name, entry in before.snapshots.items()}
    assert {name: entry.elo for name, entry in pool.snapshots.items() if name in old} == old  # a snapshot keeps its own


def test_off_policy_algorithms(tmp_path: Path) -> None:
    pool = OpponentPool(tmp_path)
    model = DQN("MlpPolicy", SelfPlayEnv(tic_tac_toe, pool), learning_starts=10, buffer_size=500, seed=0)
    model.learn(200, callback=SelfPlayCallback(pool, every=100))
    assert [entry.steps for entry in pool.snapshots.values()] == [0, 100, 200]
    assert sum(entry.games for entry in pool.snapshots.values()) > 10


def test_normalised_observations_are_refused(tmp_path: Path) -> None:
    pool = OpponentPool(tmp_path)
    env = make_vec_env(SelfPlayEnv, 1, env_kwargs={"env": tic_tac_toe, "opponents": pool})
    with pytest.raises(ValueError, match="norm_obs=False"):
        learner(VecNormalize(env)).learn(16, callback=SelfPlayCallback(pool))
    learner(VecNormalize(env, norm_obs=False)).learn(16, callback=SelfPlayCallback(pool))
