"""The figures: each section measures, keeps and shows its numbers; what is kept is not measured again."""

import argparse
from dataclasses import replace

import pytest

from sb3_ext.zoo.figures import Result, read
from sb3_ext.zoo.rlhf import figures, measures
from sb3_ext.zoo.rlhf.hacking import COMBINED, Curve
from sb3_ext.zoo.rlhf.measures import Job, all_figures, measure
from sb3_ext.zoo.rlhf.recipes import RECIPES

SECTIONS = ("accuracy", "exact", "hacking", "cache")
COLUMNS = ("peak", "distance of the peak", "far")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    for task in measures.VERIFIED:
        monkeypatch.setitem(measures.VERIFIED, task, RECIPES[task])
    small = replace(RECIPES["sort"], n_preferences=60)
    monkeypatch.setattr(measures, "ENUMERABLE", small)
    monkeypatch.setattr(measures, "HACKED", small)
    monkeypatch.setattr(measures, "CACHE_LENGTH", 16)
    monkeypatch.setattr(measures, "CACHE_BATCH", 4)


def by_name(job):
    return {result.figure.removeprefix(f"{job.figure}:"): result.value for result in measure(job)}


@pytest.mark.parametrize("method", measures.VERIFIED_METHODS)
def test_accuracy_before_and_after(method):
    found = by_name(Job(f"accuracy:modular_addition:{method}", 0))
    assert set(found) == {"SFT, drawn", "SFT, greedy", "after, drawn", "after, greedy"}
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("method", measures.EXACT_METHODS)
def test_every_method_is_held_against_the_optimum(method):
    found = by_name(Job(f"exact:sort:{method}", 0))
    assert found["objective"] <= found["objective, best"] + 1e-6
    missed = measures.ENUMERABLE.beta * found["KL to the optimum"]
    assert found["objective, best"] - found["objective"] == pytest.approx(missed, abs=1e-4)


def test_over_optimisation_of_each_combination():
    found = by_name(Job("hacking:sort:reward models", 0))
    assert set(found) == {"SFT", *(f"{name}, {column}" for name in COMBINED for column in COLUMNS)}


@pytest.mark.parametrize("net", measures.NETS)
def test_the_cache_is_timed_on_the_same_texts(net):
    found = by_name(Job(f"cache:generation:{net}", 0))
    assert found["ratio"] == pytest.approx(found["with"] / found["without"])


def test_a_curve_knows_its_peak_and_what_lies_between_points():
    points = [snapshot(kl, reward) for kl, reward in ((0, 0.5), (1, 0.9), (4, 0.3))]
    curve = Curve("own", points)
    assert curve.peak.reward == 0.9
    assert curve.reward_at(1.5) == pytest.approx(0.6)
    assert curve.reward_at(3.0) != curve.reward_at(3.0)  # beyond the last


def snapshot(kl, reward):
    from sb3_ext.zoo.rlhf.gauge import Snapshot

    return Snapshot(0, reward, 0.0, 0.0, kl, 0.0, 0.0)


def made_up(section, n_seeds=3):
    """Results of every figure of a section, without measuring."""
    results = {}
    for figure in all_figures(section):
        for seed in range(n_seeds):
            for name in NAMES[section]:
                job = Job(figure, seed)
                result = Result(f"{figure}:{name}", "task", seed, 0.5 + 0.1 * seed, 1.0, job.settings)
                results[result.figure, seed] = result
    return results


NAMES = {
    "accuracy": ("SFT, drawn", "SFT, greedy", "after, drawn", "after, greedy"),
    "exact": ("KL to the optimum", "KL to the optimum, SFT", "KL to the reference", "objective", "objective, best"),
    "hacking": (
        "SFT",
        *(f"{name}, {column}" for name in COMBINED for column in ("peak", "distance of the peak", "far")),
    ),
    "cache": ("with", "without", "ratio"),
}


@pytest.mark.parametrize("section", SECTIONS)
def test_tables_show_every_figure_and_do_without_results(section):
    from rich.console import Console

    for results in ({}, made_up(section)):
        console = Console(width=250, record=True)
        console.print(figures.TABLES[section](results))
        assert ("0.6" in console.export_text()) == bool(results)


def test_a_seed_whose_curve_ends_before_has_no_number_to_show():
    results = made_up("hacking")
    far = "hacking:sort:reward models:one reward model, far"
    results[far, 1] = results[far, 1]._replace(value=float("nan"))
    assert figures.cell(results, far) == "-"
    figures.hacking_table(results)


def test_only_what_is_missing_is_measured(tmp_path, monkeypatch):
    measured = []

    def run(function, jobs, n_processes, n_timesteps, unit):
        measured.extend(jobs)
        return ([Result(f"{job.figure}:ratio", "task", job.seed, 4.0, 1.0, job.settings)] for job in jobs)

    monkeypatch.setattr(figures, "run_parallel", run)
    options = argparse.Namespace(seeds=2, jobs=1, output=tmp_path)
    assert figures.measure_figures(["cache"], options) == 0
    assert len(measured) == 4
    options.seeds = 3
    assert figures.measure_figures(["cache"], options) == 0
    assert [job.seed for job in measured[4:]] == [2, 2]
    assert len(read(tmp_path / "rlhf.csv")) == 6


def test_other_settings_are_measured_again():
    job = Job("exact:sort:DPO", 0)
    results = {("exact:sort:DPO:objective", 0): Result("exact:sort:DPO:objective", "sort", 0, 0.5, 1.0, job.settings)}
    assert figures.is_done(job, results)
    assert not figures.is_done(Job("exact:sort:DPO", 1), results)
    old = {key: result._replace(settings="{}") for key, result in results.items()}
    assert not figures.is_done(job, old)


def test_the_picture_needs_both_tasks():
    assert figures.draw_accuracy({}) is None
    assert len(figures.draw_accuracy(made_up("accuracy")).axes) == 2
