"""``sb3-ext check``: grade functions that a learner wrote, and train with them.

    signatures.py      the functions it looks for, in the order of the exercise sheet
    exercise_sheet.py  skeletons to fill in (``sb3-ext check --sheet my_file.py`` writes a copy)
    exercises/         for each function: the reference, the cases, and what mistakes do to the result
    exercise.py        what an exercise and a case are; one call of a function, as numbers
    grading.py         a function against its cases
    diagnosis.py       which mistake it looks like
    worker.py          the process in which the learner's file runs
    supervisor.py      starts it, with a time limit, and starts another where it died
    report.py          the verdicts as JSON and as text
    training.py        ``--train``, in the worker: the trainings with the learner's function and with ours
    comparison.py      ``--train``: both learning curves in one picture
    command.py         ``sb3-ext check``

Nothing is loaded before it is used.
"""


def main(arguments: list[str]) -> int:
    """``sb3-ext check``, see ``command.py``."""
    from sb3_ext.zoo.check import command

    return command.main(arguments)
