"""What is saved comes back; what is not ours is refused before anything in it is run."""

import io
import json
import pickle
import zipfile

import gymnasium as gym
import numpy as np
import pytest
from helpers_tabular import CLASSES, VARIANTS, build, knowledge, vec, world
from stable_baselines3 import A2C
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_ext.common.exploration import EpsilonGreedy
from sb3_ext.tabular import SARSA, DoubleQLearning, DynaQ, QLearning, TabularPolicy

every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
every_variant = pytest.mark.parametrize("variant", VARIANTS)
DYNA = [variant for variant, (cls, _) in VARIANTS.items() if cls is DynaQ]
STATES = np.arange(16)


def trained(variant, n_envs=1, **kwargs):
    cls, options = VARIANTS[variant]
    return build(cls, world("lake", n_envs), **options, **kwargs).learn(1500)


def kept(model):
    return {name: array.tolist() for name, array in model.policy.arrays().items()}


# ---- save and load --------------------------------------------------------------------------------------------------


@every_variant
def test_a_saved_model_comes_back(variant, tmp_path):
    model = trained(variant, exploration=EpsilonGreedy(0.4, 0.2), learning_rate="lin_0.5/N^0.7")
    model.save(tmp_path / "model")
    other = type(model).load(tmp_path / "model")
    assert kept(other) == kept(model)
    greedy = [each.predict(STATES, deterministic=True)[0] for each in (model, other)]
    assert np.array_equal(*greedy)
    chances = [each.policy.action_probabilities(STATES, deterministic=False) for each in (model, other)]
    assert np.array_equal(*chances)
    assert other.settings == model.settings
    assert other.num_timesteps == 1500
    assert other.env is None
    for name in ("gamma", "exploration", "learning_rate", "initial_value", "engine", "seed"):
        assert getattr(other, name) == getattr(model, name)


@every_variant
@pytest.mark.parametrize("n_envs", [1, 2])
def test_a_loaded_model_goes_on(variant, n_envs, tmp_path):
    """In both engines alike, with as many environments as are given."""
    model = trained(variant)
    model.save(tmp_path / "model")
    seen = []
    for engine in ("step", "compiled"):
        env = world("lake", n_envs)
        env.seed(1)
        other = type(model).load(tmp_path / "model", env, engine=engine)
        other.learn(500, reset_num_timesteps=False)
        assert other.num_timesteps == 2000
        seen.append(knowledge(other))
    assert seen[0] == seen[1]
    assert np.sum(seen[0]["visits"]) > np.sum(kept(model)["visits"])


@every_class
def test_a_model_that_was_never_trained_is_saved_and_trained_later(cls, tmp_path):
    model = build(cls, world("lake"), seed=4)
    model.save(tmp_path / "model")
    other = cls.load(tmp_path / "model", world("lake"))
    other.set_random_seed(4)
    assert knowledge(other.learn(300)) == knowledge(build(cls, world("lake"), seed=4).learn(300))


@every_class
def test_saving_does_not_disturb_training(cls, tmp_path):
    one, other = (build(cls, world("lake", 2)).learn(151) for _ in range(2))
    one.save(tmp_path / "model")
    for model in (one, other):
        model.learn(150, reset_num_timesteps=False)
    assert knowledge(one) == knowledge(other)


@pytest.mark.parametrize("name", ["model", "model.zip", "a.model"])
def test_names_of_files(name, tmp_path):
    model = build(QLearning, world("lake"))
    model.save(tmp_path / name)
    for path in (tmp_path / name, str(tmp_path / name)):
        assert np.array_equal(QLearning.load(path).policy.q_table, model.policy.q_table)


def test_open_files():
    model, buffer = trained("Q"), io.BytesIO()
    model.save(buffer)
    buffer.seek(0)
    assert kept(QLearning.load(buffer)) == kept(model)


@every_class
def test_a_subclass_saves_and_loads_itself(cls, tmp_path):
    mine = type("Mine", (cls,), {})
    model = build(mine, world("lake")).learn(50)
    model.save(tmp_path / "model")
    assert kept(mine.load(tmp_path / "model")) == kept(model)
    with pytest.raises(ValueError, match="it is Mine"):
        cls.load(tmp_path / "model")


@every_variant
def test_the_model_of_the_world_survives(variant, tmp_path):
    model = trained(variant)
    model.save(tmp_path / "model")
    other = type(model).load(tmp_path / "model", world("lake"))
    if variant not in DYNA:
        assert "model_next" not in kept(other)
        return
    assert np.sum(kept(other)["tried"]) == 1500
    model.set_env(world("lake"))
    for each in (model, other):
        each.learn(10, reset_num_timesteps=False)
        assert np.sum(kept(each)["tried"]) == 1510
    assert set(model._memory.pairs[: model._memory.n_pairs[0]]) == set(other._memory.pairs[: other._memory.n_pairs[0]])


@pytest.mark.parametrize("variant", ["Dyna-Q+", "Sweeping+"])
def test_the_clock_of_what_was_last_tried_goes_on(variant, tmp_path):
    """tau, the steps since a pair was last tried, is not changed by saving, by a new start, or by another model."""
    model = trained(variant)
    arrays = model.policy.arrays()
    since = arrays["clock"][0] - arrays["last_tried"]
    assert since.min() >= 0
    model.save(tmp_path / "model")
    model.save_table(tmp_path / "table.npz")
    cls, options = VARIANTS[variant]
    fresh = build(cls, world("lake"), **options)
    fresh.load_table(tmp_path / "table.npz")
    other = build(cls, world("lake"), **options)
    other.set_parameters(model.get_parameters())
    for each in (model, cls.load(tmp_path / "model", world("lake")), fresh, other):
        for again in (True, False):
            each.learn(0, reset_num_timesteps=again)
            arrays = each.policy.arrays()
            assert np.array_equal(arrays["clock"][0] - arrays["last_tried"], since)
        each.learn(300)
        assert np.isfinite(each.policy.q_table).all()


# ---- What is not ours -----------------------------------------------------------------------------------------------


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def forged(path, trap, **data):
    """A file in SB3's form that would run ours when it is unpickled."""
    import base64

    serialized = base64.b64encode(pickle.dumps(Trap(trap))).decode()
    data = {"policy_class": {":type:": "x", ":serialized:": serialized}, **data}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps(data))


@every_class
def test_files_of_others_are_refused_before_they_are_unpickled(cls, tmp_path):
    trap = tmp_path / "sprung"
    for number, data in enumerate([{}, {"algorithm": "PPO"}, {"algorithm": None}, {"algorithm": ["QLearning"]}]):
        file = tmp_path / f"{number}.zip"
        forged(file, trap, **data)
        for source in (file, file.with_suffix(""), open(file, "rb")):  # noqa: SIM115
            with pytest.raises(ValueError, match=f"is not a model that {cls.__name__} saved"):
                cls.load(source)
    assert not trap.exists()
    load_from_zip_file(file)  # the trap is a trap: SB3's own loading springs it
    assert trap.exists()


@every_class
def test_models_of_another_class_are_refused(cls, tmp_path):
    for other in CLASSES:
        build(other, world("lake")).save(tmp_path / "model")
        if other is not cls:
            with pytest.raises(ValueError, match=f"not a model that {cls.__name__} saved: it is {other.__name__}"):
                cls.load(tmp_path / "model")
    A2C("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "a2c")
    with pytest.raises(ValueError, match="of another library"):
        cls.load(tmp_path / "a2c")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x80\x04K\x01.", b"PK\x03\x04 not really", b"\x93NUMPY"], ids=repr
)
def test_files_that_are_no_archive(content, tmp_path):
    (tmp_path / "model.zip").write_bytes(content)
    with pytest.raises(ValueError, match="is not a model that QLearning saved"):
        QLearning.load(tmp_path / "model.zip")
    with pytest.raises(ValueError, match="is not a model that QLearning saved"):
        QLearning.load(io.BytesIO(content))


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"{", b'"QLearning"', b"\xff\xfe"], ids=repr)
def test_archives_with_other_data(data, tmp_path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("data", data)
    with pytest.raises(ValueError, match="is not a model that QLearning saved"):
        QLearning.load(tmp_path / "model")


def test_archives_without_data(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("policy.pth", b"")
    with pytest.raises(ValueError, match="is not a model that QLearning saved"):
        QLearning.load(tmp_path / "model")


@every_class
def test_missing_files(cls, tmp_path):
    for name in ("nothing", "nothing.zip"):
        with pytest.raises(FileNotFoundError):
            cls.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        build(cls, world("lake")).load_table(tmp_path / "nothing.npz")


def test_a_loaded_model_needs_an_environment_of_its_spaces(tmp_path):
    trained("Q").save(tmp_path / "model")
    with pytest.raises(ValueError, match="spaces do not match"):
        QLearning.load(tmp_path / "model", world("cliff"))


# ---- Tables ---------------------------------------------------------------------------------------------------------


@every_variant
def test_tables_are_plain_arrays(variant, tmp_path):
    model = trained(variant)
    model.save_table(tmp_path / "table.npz")
    with np.load(tmp_path / "table.npz", allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    assert str(found.pop("algorithm")) == type(model).__name__
    assert "sb3_ext" in str(found.pop("format"))
    assert {name: array.tolist() for name, array in found.items()} == kept(model)
    assert found["q_tables"].shape == (2 if type(model) is DoubleQLearning else 1, 16, 4)


@every_variant
def test_tables_come_back_and_are_learned_on(variant, tmp_path):
    """Into a fresh model, and into one that has learned something else."""
    model, (cls, options) = trained(variant), VARIANTS[variant]
    model.save_table(tmp_path / "table.npz")
    fresh, used = (build(cls, world("lake"), seed=9, **options) for _ in range(2))
    used.learn(100)
    for other in (fresh, used):
        other.load_table(tmp_path / "table.npz")
        assert kept(other) == kept(model)
        assert np.array_equal(other.policy.q_table, model.policy.q_table)
        other.learn(200)
        assert np.sum(kept(other)["visits"]) > np.sum(kept(model)["visits"])
        assert np.isfinite(other.policy.q_table).all()
    if variant in DYNA:
        memory = used._memory
        known = memory.tried > 0
        if options.get("kappa"):
            known = np.broadcast_to(known.any(axis=1, keepdims=True), known.shape)
        assert set(memory.pairs[: memory.n_pairs[0]]) == set(np.flatnonzero(known))


def test_greedy_actions_of_a_table_are_its_own(tmp_path):
    model = trained("Q")
    model.policy.arrays()["q_tables"][0] = np.random.default_rng(0).normal(size=(16, 4))
    model.save_table(tmp_path / "table.npz")
    other = build(QLearning, world("lake"), seed=77)
    other.load_table(tmp_path / "table.npz")
    assert np.array_equal(other.predict(STATES, deterministic=True)[0], model.policy.q_table.argmax(axis=1))


def test_tables_of_another_shape_are_refused_and_nothing_is_changed(tmp_path):
    trained("Q").save_table(tmp_path / "lake.npz")
    for other in (
        build(QLearning, world("cliff")),
        build(DoubleQLearning, world("lake")),
        build(DynaQ, world("lake")),
        build(QLearning, vec(lambda: gym.make("FrozenLake8x8-v1"))),
    ):
        before = kept(other)
        with pytest.raises(ValueError, match=r"lake.npz: \w+ has the shape .* needs") as error:
            other.load_table(tmp_path / "lake.npz")
        assert type(other).__name__ in str(error.value)
        assert kept(other) == before


def test_a_table_may_go_to_another_class_of_the_same_shape(tmp_path):
    model, other = trained("Q"), build(SARSA, world("lake"))
    model.save_table(tmp_path / "table.npz")
    other.load_table(tmp_path / "table.npz")
    assert np.array_equal(other.policy.q_table, model.policy.q_table)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00"], ids=repr)
def test_files_that_are_no_tables(content, tmp_path):
    (tmp_path / "table.npz").write_bytes(content)
    with pytest.raises(ValueError, match="is not a table that sb3_ext wrote"):
        build(QLearning, world("lake")).load_table(tmp_path / "table.npz")


def test_tables_of_others(tmp_path):
    model = build(QLearning, world("lake"))
    table = np.zeros((1, 16, 4))
    np.save(tmp_path / "array.npy", table)
    np.savez(tmp_path / "other.npz", q_tables=table)
    np.savez(tmp_path / "later.npz", format="sb3_ext table 2", q_tables=table)
    model.save(tmp_path / "model")
    for name in ("array.npy", "other.npz", "later.npz", "model.zip"):
        with pytest.raises(ValueError, match="is not a table that sb3_ext wrote"):
            model.load_table(tmp_path / name)


def test_tables_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "trap.npz", format=np.array([Trap(tmp_path / "sprung")], dtype=object))
    with pytest.raises(ValueError, match="is not a table that sb3_ext wrote"):
        build(QLearning, world("lake")).load_table(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_tables_with_arrays_of_another_kind(tmp_path):
    """A file in our form whose numbers are not finite, or no numbers."""
    model = trained("Q")
    before = kept(model)
    for q_tables in (np.full((1, 16, 4), np.nan), np.full((1, 16, 4), "a"), np.full((1, 16, 4), 1j)):
        np.savez(tmp_path / "table.npz", **{**model.policy.arrays(), "q_tables": q_tables}, format="sb3_ext table 1")
        with pytest.raises(ValueError, match=r"table\.npz"):
            model.load_table(tmp_path / "table.npz")
        assert kept(model) == before


def test_a_model_of_the_world_that_leads_out_of_the_world(tmp_path):
    """The compiled loop would read whatever lies behind the table."""
    model = trained("Dyna-Q")
    for state in (-1, 16):
        next_states = np.full_like(model.policy.arrays()["model_next"], state)
        np.savez(
            tmp_path / "table.npz", **{**model.policy.arrays(), "model_next": next_states}, format="sb3_ext table 1"
        )
        with pytest.raises(ValueError, match="model_next holds what cannot be"):
            model.load_table(tmp_path / "table.npz")


# ---- The policy by itself -------------------------------------------------------------------------------------------


@every_variant
def test_a_policy_is_saved_and_loaded(variant, tmp_path):
    model = trained(variant, exploration=EpsilonGreedy(0.4, 0.2))
    model.policy.save(tmp_path / "policy")
    policy = TabularPolicy.load(tmp_path / "policy")
    assert np.array_equal(policy.q_table, model.policy.q_table)
    assert np.array_equal(policy.predict(STATES, deterministic=True)[0], model.predict(STATES, deterministic=True)[0])
    chances = [each.action_probabilities(STATES, deterministic=False) for each in (policy, model.policy)]
    assert np.array_equal(*chances)


def test_a_policy_stands_alone():
    env = gym.make("FrozenLake-v1")
    policy = TabularPolicy(env.observation_space, env.action_space, seed=1)
    assert policy.q_table.tolist() == np.zeros((16, 4)).tolist()
    actions, _ = policy.predict(np.arange(16))
    assert ((actions >= 0) & (actions < 4)).all()
    assert policy.q_table is not policy.q_table
    policy.q_table[0] = 7.0  # a copy
    assert not policy.q_table.any()
