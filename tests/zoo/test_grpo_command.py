"""``sb3-ext grpo``: rows, what is kept, and the numbers it prints."""

import signal
from concurrent.futures import Future

import numpy as np
import pytest
from matplotlib.figure import Figure

from sb3_ext.zoo import grpo, parallel
from sb3_ext.zoo.__main__ import main
from sb3_ext.zoo.figures import Result, read
from sb3_ext.zoo.recipes import Recipe


@pytest.fixture
def short(monkeypatch):
    """Four rooms, a few hundred steps each."""
    tasks = {"FourRooms": grpo.TASKS["FourRooms"]._replace(n_timesteps=300)}
    monkeypatch.setattr(grpo, "TASKS", {**grpo.TASKS, **tasks})


def test_help_shows_sections_and_examples(capsys):
    with pytest.raises(SystemExit):
        main(["grpo", "--help"])
    printed = capsys.readouterr().out
    assert all(section in printed for section in grpo.SECTIONS)
    assert "sb3-ext grpo compare --tasks" in printed
    assert "sb3-ext grpo variance --seeds 3" in printed


@pytest.mark.slow
def test_what_is_finished_is_kept(short, tmp_path, capsys):
    command = ["grpo", "compare", "--tasks", "FourRooms", "--seeds", "1", "--jobs", "2", "--output", str(tmp_path)]
    assert main(command) == 0
    first = (tmp_path / "grpo.csv").read_text()
    results = read(tmp_path / "grpo.csv")
    assert {figure for figure, _ in results} == {f"compare:FourRooms:{method}" for method in grpo.METHODS}
    assert all(0 <= result.value <= 100 for result in results.values())
    assert main(command) == 0
    assert (tmp_path / "grpo.csv").read_text() == first
    printed = capsys.readouterr().out
    assert "REINFORCE" in printed
    assert f"picture  {tmp_path / 'compare.png'}" in printed
    assert (tmp_path / "compare.png").stat().st_size > 5000


def test_recipes_differ_in_what_their_names_say():
    task = grpo.TASKS["CartPole-v1"]
    matched, unmatched, reinforce, ppo = (grpo.recipe(task, method) for method in grpo.METHODS)
    assert (matched.algo, unmatched.algo, reinforce.algo, ppo.algo) == ("grpo", "grpo", "reinforce", "ppo")
    assert unmatched.hyperparams == {**matched.hyperparams, "group_start": "unmatched"}
    assert {how.n_timesteps for how in (matched, unmatched, reinforce, ppo)} == {200_000}
    assert matched.n_envs == unmatched.n_envs == reinforce.n_envs == 16


def test_every_task_has_every_recipe():
    for task in grpo.TASKS.values():
        for method in grpo.METHODS:
            assert grpo.recipe(task, method).n_timesteps == task.n_timesteps


def test_the_interquartile_mean_and_its_interval():
    assert grpo.interval(np.array([500.0] * 5)) == "500.0"
    text = grpo.interval(np.array([0.0, 10.0, 20.0, 1000.0]))
    assert text.startswith("15.0 (")
    low, high = (float(part) for part in text[6:-1].split(" to "))
    assert low <= 15 <= high


# ---- Tables and pictures of results


def results_of(jobs, value=lambda job: 400.0 + 10 * job.seed):
    settings = [grpo.json.dumps(job.recipe.settings(), sort_keys=True) for job in jobs]
    return {(job.figure, job.seed): Result(job.figure, job.env_id, job.seed, value(job), 1.0, own)
            for job, own in zip(jobs, settings, strict=True)}  # fmt: skip


def jobs_of(section):
    options = grpo.parser().parse_args(["--seeds", "3"])
    return [job for job in grpo.all_jobs(options) if job.figure.startswith(section)]


@pytest.mark.parametrize("section", ["compare", "goal", "ablate"])
def test_every_row_has_its_line(section):
    jobs = jobs_of(section)
    lines = grpo.table(section, jobs, results_of(jobs))
    assert lines.row_count == len({job.figure for job in jobs})


@pytest.mark.parametrize(("section", "n_panels"), [("compare", 5), ("ablate", 1)])
def test_a_panel_for_each_task(section, n_panels, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **_: drawn.append((figure, file)))
    jobs = jobs_of(section)
    assert grpo.draw(section, jobs, {}, tmp_path) is None
    assert grpo.draw(section, jobs, results_of(jobs), tmp_path) == tmp_path / f"{section}.png"
    ((figure, _),) = drawn
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(figure.axes) == n_panels
    assert labels == list(grpo.METHODS if section == "compare" else grpo.ABLATIONS)
    for axes in figure.axes:
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        assert [line.get_ydata()[0] for line in dots] == list(range(len(labels)))
        assert all(line.get_xdata()[0] == 410.0 for line in dots)


def test_unequal_numbers_of_seeds_and_missing_rows_are_drawn(tmp_path):
    jobs = jobs_of("compare")
    kept = [job for job in jobs if "PPO" not in job.figure and not ("CartPole" in job.figure and job.seed == 2)]
    assert grpo.draw("compare", kept, results_of(kept[:-5]), tmp_path).exists()


# ---- The gradient's variance


def gradients(n, scale, seed):
    drawn = scale * np.random.default_rng(seed).normal(size=(n, 7))
    centred = drawn - drawn.mean(axis=0)
    return drawn, centred @ centred.T


def test_the_ratio_of_two_variances():
    (one, ours), (other, theirs) = gradients(50, 1.0, 0), gradients(60, 2.0, 1)
    ratio, low, high = grpo.scatter_ratio(ours, theirs)
    assert ratio == pytest.approx(one.var(axis=0, ddof=1).sum() / other.var(axis=0, ddof=1).sum())
    assert low < ratio < high
    assert grpo.scatter_ratio(ours, theirs) == (ratio, low, high)


def test_the_interval_holds_the_truth_nearly_as_often_as_it_says():
    found = [grpo.scatter_ratio(gradients(100, 1.0, 2 * k)[1], gradients(100, 2.0, 2 * k + 1)[1], 300)
             for k in range(200)]  # fmt: skip
    assert 0.88 <= np.mean([low <= 0.25 <= high for _, low, high in found]) <= 0.99


@pytest.mark.slow
def test_a_scatter_is_kept_and_measured_again_when_it_changes(tmp_path):
    options = grpo.parser().parse_args(["--output", str(tmp_path), "--jobs", "1"])
    job = grpo.Scatter("CartPole-v1", 0, 0, n_batches=8)
    assert grpo.compare_scatters([job], options)
    results = read(tmp_path / "grpo.csv")
    ratio, low, high = grpo.scatter_of(job, results)
    assert 0 < low <= ratio <= high
    assert grpo.scatter_of(job._replace(n_batches=9), results) is None
    lines = grpo.variance_table([job], results)
    assert lines.row_count == 1
    assert grpo.variance_table([job._replace(seed=1)], results).row_count == 0


def test_lunar_lander_is_left_out_without_its_package(monkeypatch):
    assert {job.task for job in grpo.all_scatters(1)} <= set(grpo.VARIANCE_TASKS)
    monkeypatch.setattr("sb3_ext.zoo.figures.installed", lambda *_: False)
    assert "LunarLander-v3" not in {job.task for job in grpo.all_scatters(1)}


# ---- Recipes and processes


@pytest.mark.parametrize("name", ["kl_coef", "clip_range_high"])
def test_every_coefficient_may_be_a_schedule(name):
    schedule = Recipe("grpo", 100, hyperparams={"policy": "MlpPolicy", name: "lin_0.1"}).arguments()[name]
    assert (schedule(1.0), schedule(0.5)) == (0.1, 0.05)


def test_processes_start_deaf_to_ctrl_c(monkeypatch):
    heard = []

    class Pool:
        def __init__(self, *_):
            pass

        def submit(self, function, job):
            heard.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
            done = Future()
            done.set_result(function(job))
            return done

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(parallel, "ProcessPoolExecutor", Pool)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert sorted(parallel.run_parallel(abs, [-1, 2], 2, 0)) == [1, 2]
    assert [signal.SIGINT in mask for mask in heard] == [True, True]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_ctrl_c_that_is_held_back_comes_later(monkeypatch):
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append("here"))
    try:
        with parallel.ctrl_c_held():
            signal.raise_signal(signal.SIGINT)
            came.append("still in there")
        assert came == ["still in there", "here"]
    finally:
        signal.signal(signal.SIGINT, before)
