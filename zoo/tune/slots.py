"""Who runs which trial: none is lost and none counts twice, however many workers and machines share the study.

A study is a fixed list of *slots*, one for each trial that was asked for. A slot is filled by a trial that waits in the
database with the slot's name on it. Of a slot's trials the first that has not failed is the one that counts; only that
one is ever run:

    WAITING -> RUNNING       by compare-and-set in the database: one worker gets it
    RUNNING -> COMPLETE      or PRUNED: final, the slot is done
    RUNNING -> FAIL          final too: its worker died. The slot is filled again, by the same hyperparameters

As a failed trial stays failed, at most one trial of a slot can finish. No lock is needed: if two machines fill a slot
at the same time, the second trial waits in reserve, and what is left in reserve at the end is struck off. A result that
arrives after its trial was given up is refused by the database, because the trial is finished.

Optuna's own ``RetryHeartbeatStaleTrialCallback`` is not used, as it loses a trial if the process dies between its two
steps (fail the old, add the new) or between taking a trial and its first heartbeat, and as a gRPC proxy has none.
"""

import time
from collections.abc import Iterable, Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

SLOT, WORKER, BEAT, ENDED = "slot", "worker", "beat", "ended"  # user attributes of a trial
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
SILENT_BEATS = 6  # a trial without a sign of life for this many intervals is run again


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    """All trials of a study by number, as the database has them now."""
    study._thread_local.cached_all_trials = None
    return study.get_trials(deepcopy=False)


def counting(trials: Iterable[FrozenTrial]) -> dict[str, FrozenTrial]:
    """The trial that counts of each slot: the first that has not failed."""
    found: dict[str, FrozenTrial] = {}
    for trial in sorted(trials, key=lambda each: each.number):
        if trial.state != TrialState.FAIL and SLOT in trial.user_attrs:
            found.setdefault(trial.user_attrs[SLOT], trial)
    return found


def finished(trials: Iterable[FrozenTrial], slots: Sequence[str]) -> list[FrozenTrial]:
    """The finished trials of these slots, by number."""
    found, wanted = counting(trials), set(slots)
    done = [trial for slot, trial in found.items() if slot in wanted and trial.state in FINISHED]
    return sorted(done, key=lambda trial: trial.number)


def fill(study: optuna.Study, slots: Sequence[str]) -> None:
    """Add a waiting trial to each slot that has none: a new one, or again the one whose worker died.

    A trial that ended by an error is not run again with the same hyperparameters, for it would end so again.
    """
    trials = trials_of(study)
    filled = counting(trials)
    last = {trial.user_attrs.get(SLOT): trial for trial in trials}
    for slot in slots:
        if slot in filled:
            continue
        again = last.get(slot)
        if again is not None and again.user_attrs.get(ENDED) == "error":
            again = None
        study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=again.params if again else {},
                distributions=again.distributions if again else {},
                user_attrs={SLOT: slot} | ({"again": again.number} if again else {}),
            )
        )


def take(study: optuna.Study, slots: Sequence[str], worker: str) -> FrozenTrial | None:
    """Take the first waiting trial of the slots for this worker; None if none waits.

    Args:
        study: the study.
        slots: the slots to look at.
        worker: name of the worker, unique among all machines; written on the trial.

    Returns:
        The trial, now running; no other worker has it.
    """
    wanted = set(slots)
    for slot, trial in counting(trials_of(study)).items():
        if slot not in wanted or trial.state != TrialState.WAITING:
            continue
        try:
            taken = study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:
            continue
        if taken:
            study._storage.set_trial_user_attr(trial._trial_id, WORKER, worker)
            return study._storage.get_trial(trial._trial_id)
    return None


def finish(
    study: optuna.Study, trial: Trial, value: float | None = None, state: TrialState | None = None
) -> FrozenTrial | None:
    """Write a trial's end down; None if the trial had been given up before, so that its result does not count."""
    try:
        told = study.tell(trial, value, state, skip_if_finished=True)
    except UpdateFinishedTrialError:  # between the look and the write; or written before a connection broke
        told = study._storage.get_trial(trial._trial_id)
    return told if told.state in FINISHED else None


def give_up(study: optuna.Study, trial: FrozenTrial, why: str) -> None:
    """Mark a trial that nobody runs any more as failed, so that its slot can be filled again.

    Args:
        study: the study.
        trial: a running or waiting one; nothing happens if it has ended meanwhile.
        why: "killed", "silent", "interrupted" or "reserve", kept with the trial.
    """
    try:
        study._storage.set_trial_user_attr(trial._trial_id, ENDED, why)
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        pass


def give_up_those_of(study: optuna.Study, workers: Iterable[str], why: str) -> int:
    """Give up what these workers, which are dead, were running; the number of trials."""
    names = set(workers)
    theirs = [
        trial
        for trial in trials_of(study)
        if trial.state == TrialState.RUNNING and trial.user_attrs.get(WORKER) in names
    ]
    for trial in theirs:
        give_up(study, trial, why)
    return len(theirs)


def strike_off_reserve(study: optuna.Study, slots: Sequence[str]) -> None:
    """Fail what waits behind a finished trial of the same slot; nobody would ever run it."""
    trials, wanted = trials_of(study), set(slots)
    done = {slot for slot, trial in counting(trials).items() if trial.state in FINISHED and slot in wanted}
    for trial in trials:
        if trial.state == TrialState.WAITING and trial.user_attrs.get(SLOT) in done:
            give_up(study, trial, "reserve")


class Watch:
    """Notices running trials that give no sign of life any more, on whatever machine they run.

    A worker counts up a number on its trial at each interval. It is compared with what it was, by this process's own
    clock, so that machines need not agree on the time; and only while the database answers, so that an outage makes
    nobody look dead.

    Args:
        interval: seconds between signs of life.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._seen: dict[int, tuple[int | None, int]] = {}
        """of each running trial: the last sign of life, and at how many looks it has been the same"""
        self._next_look = 0.0

    def silent(self, trials: Iterable[FrozenTrial], alive: Iterable[str] = ()) -> list[FrozenTrial]:
        """The running trials that have been silent for too long.

        Args:
            trials: the study's, as they are now.
            alive: workers that are known to live, because they are this process's.
        """
        if time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + self.interval
        known, silent = set(alive), []
        seen: dict[int, tuple[int | None, int]] = {}
        for trial in trials:
            if trial.state != TrialState.RUNNING or trial.user_attrs.get(WORKER) in known:
                continue
            beat = trial.user_attrs.get(BEAT, 0)
            last, looks = self._seen.get(trial.number, (None, 0))
            seen[trial.number] = (beat, looks + 1 if beat == last else 0)
            if seen[trial.number][1] >= SILENT_BEATS:
                silent.append(trial)
        self._seen = seen
        return silent
