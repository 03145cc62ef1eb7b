"""Every figure of the book by name, with the numbers that it should have; those on prediction are named here."""

from sb3_ext.envs.textbook.random_walk import random_walk_values
from sb3_ext.zoo.book import control_figures, exact_figures, planning_figures, prediction_figures
from sb3_ext.zoo.book.curves import Curves, Row, Table


def all_figures() -> Table:
    """All figures, in the order of the book's chapters."""
    tables = {**exact_figures.FIGURES, **control_figures.FIGURES, **planning_figures.FIGURES}
    for name, (measure, draw) in prediction_figures.FIGURES.items():
        tables[name] = measure, draw, PREDICTION_ROWS[name]
    return dict(sorted(tables.items(), key=lambda item: _place(item[0])))


def _place(name: str) -> tuple[int, int, str]:
    """Chapter and number in it of "figure-12.6" or "example-6.2-values"."""
    chapter, number = name.split("-")[1].split(".")
    return int(chapter), int(number), name


def rows_of_example_6_2_values(curves: Curves) -> list[Row]:
    """Values of three states after 100 episodes.

    A and E lie outside their true values, by a constant alpha: an episode ends with an update of one of the two, A's
    towards 0 or E's towards 1.
    """
    truth, last = random_walk_values(5)[1:-1], "100 episodes"
    return [
        curves.row(last, place, f"value of {'ABCDE'[place]} after {last}", float(truth[place]), "true value")
        for place in (0, 2, 4)
    ]


def rows_of_example_6_2_errors(curves: Curves) -> list[Row]:
    """Errors after 100 episodes."""
    return [
        curves.row("TD 0.05", 100, "TD(0), alpha 0.05, error after 100 episodes", 0.038, "simulated"),
        curves.row("MC 0.02", 100, "Monte Carlo, alpha 0.02, error after 100 episodes", 0.083, "simulated"),
    ]


def rows_of_figure_6_2(curves: Curves) -> list[Row]:
    """Errors after 100 episodes."""
    return [curves.row(label, 99, f"{label}, error after 100 episodes") for label in curves.runs]


def rows_of_figure_7_2(curves: Curves) -> list[Row]:
    """The lowest error of each n."""
    simulated = {1: 0.348, 2: 0.277, 4: 0.261, 8: 0.273, 16: 0.320}
    return [_lowest(curves, f"n = {n}", reference) for n, reference in simulated.items()]


def rows_of_figure_12_6(curves: Curves) -> list[Row]:
    """The lowest error of some lambdas; lambda = 0 is one-step TD."""
    return [_lowest(curves, "λ = 0", 0.348), *(_lowest(curves, f"λ = {number:g}") for number in (0.4, 0.8, 0.95, 1))]


def rows_of_figure_5_3(curves: Curves) -> list[Row]:
    """Mean squared errors after 10 and after the last episode."""
    last = len(curves.x)
    return [
        curves.row(label, n - 1, f"{label}, squared error after {n} episodes")
        for label in curves.runs
        for n in (10, last)
    ]


def _lowest(curves: Curves, label: str, reference: float | None = None) -> Row:
    alpha, error, standard_error = curves.lowest(label)
    kind = "" if reference is None else "simulated"
    return Row(f"{label}, lowest error, at alpha {alpha:g}", error, standard_error, reference, kind, curves.n_runs)


PREDICTION_ROWS = {
    "example-6.2-values": rows_of_example_6_2_values,
    "example-6.2-errors": rows_of_example_6_2_errors,
    "figure-6.2": rows_of_figure_6_2,
    "figure-7.2": rows_of_figure_7_2,
    "figure-12.6": rows_of_figure_12_6,
    "figure-5.3": rows_of_figure_5_3,
}
