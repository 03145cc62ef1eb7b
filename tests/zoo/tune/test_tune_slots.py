"""Slots: whatever the order of events, every slot ends with one finished trial."""

import random
import threading

import optuna
import pytest
from optuna.trial import Trial, TrialState

from sb3_ext.zoo.tune import slots
from sb3_ext.zoo.tune.storage import open_storage

NAMES = [str(number) for number in range(8)]


@pytest.fixture
def study():
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), direction="maximize")


def drawn(study, trial):
    """The running trial, with a hyperparameter drawn."""
    running = Trial(study, trial._trial_id)
    running.suggest_float("x", 0, 1)
    return running


def test_filling_twice_changes_nothing(study):
    slots.fill(study, NAMES)
    slots.fill(study, NAMES)
    assert [trial.user_attrs["slot"] for trial in study.trials] == NAMES
    slots.fill(study, [*NAMES, "8"])  # --n-trials was raised
    assert len(study.trials) == 9


def test_a_trial_is_taken_once_and_only_from_the_slots_asked_for(study):
    slots.fill(study, NAMES)
    taken = [slots.take(study, NAMES[:3], f"worker {i}") for i in range(4)]
    assert [trial.user_attrs["slot"] for trial in taken[:3]] == NAMES[:3]
    assert taken[3] is None
    assert taken[1].user_attrs["worker"] == "worker 1"


def test_what_a_dead_worker_ran_is_run_again_by_the_same_hyperparameters(study):
    slots.fill(study, ["0"])
    first = drawn(study, slots.take(study, ["0"], "a"))
    assert slots.give_up_those_of(study, ["b"], "killed") == 0
    assert slots.give_up_those_of(study, ["a"], "killed") == 1
    slots.fill(study, ["0"])
    second = drawn(study, slots.take(study, ["0"], "b"))
    assert second.params == first.params
    assert second.user_attrs["again"] == first.number
    assert slots.finish(study, second, 1.0).value == 1.0


def test_what_ended_by_an_error_is_drawn_anew(study):
    slots.fill(study, ["0"])
    drawn(study, slots.take(study, ["0"], "a"))
    slots.give_up(study, study.trials[0], "error")
    slots.fill(study, ["0"])
    assert study.trials[1].params == {}


def test_a_late_result_does_not_count(study):
    slots.fill(study, ["0"])
    late = drawn(study, slots.take(study, ["0"], "a"))
    slots.give_up(study, study.trials[0], "silent")
    slots.fill(study, ["0"])
    in_time = drawn(study, slots.take(study, ["0"], "b"))
    assert slots.finish(study, late, 100.0) is None
    slots.finish(study, in_time, 1.0)
    assert [trial.value for trial in slots.finished(study.trials, ["0"])] == [1.0]


def test_the_second_of_two_fills_waits_in_reserve(study):
    for _ in range(2):  # two machines at the same time
        study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs={"slot": "0"}))
    first = slots.take(study, ["0"], "a")
    assert first.number == 0
    assert slots.take(study, ["0"], "b") is None
    slots.give_up(study, first, "killed")
    slots.fill(study, ["0"])
    assert len(study.trials) == 2  # the reserve fills it
    slots.finish(study, drawn(study, slots.take(study, ["0"], "b")), 2.0)
    slots.strike_off_reserve(study, ["0"])
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_what_is_left_in_reserve_is_struck_off(study):
    for _ in range(2):
        study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs={"slot": "0"}))
    slots.finish(study, drawn(study, slots.take(study, ["0"], "a")), 2.0)
    slots.strike_off_reserve(study, ["0"])
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL]


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_events_ends_with_the_asked_number(study, seed):
    chance, running = random.Random(seed), []
    given_up = set()
    for _ in range(10_000):
        event = chance.choice(["fill", "add", "take", "take", "finish", "prune", "die", "silent"])
        if event == "fill":
            slots.fill(study, NAMES)
        elif event == "add" and len(study.trials) < 40:  # a fill that did not see another one
            study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs={"slot": chance.choice(NAMES)}))
        elif event == "take" and (taken := slots.take(study, NAMES, "worker")) is not None:
            running.append(drawn(study, taken))
        elif event in ("finish", "prune") and running:
            trial = running.pop(chance.randrange(len(running)))
            ended = {"value": 1.0} if event == "finish" else {"state": TrialState.PRUNED}
            told = slots.finish(study, trial, **ended)
            assert (told is None) == (trial.number in given_up)
        elif event == "die" and running:
            trial = running.pop(chance.randrange(len(running)))
            slots.give_up(study, study.trials[trial.number], "killed")
        elif event == "silent" and running and chance.random() < 0.3:  # it lives on, and finishes later
            trial = chance.choice(running)
            slots.give_up(study, study.trials[trial.number], "silent")
            given_up.add(trial.number)
        if len(slots.finished(study.trials, NAMES)) == len(NAMES):
            break
    done = [trial for trial in study.trials if trial.state in slots.FINISHED]
    assert sorted(trial.user_attrs["slot"] for trial in done) == NAMES


def test_workers_on_one_sqlite_file_never_take_the_same_trial_nor_find_it_locked(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    names = [str(number) for number in range(60)]
    slots.fill(optuna.create_study(storage=open_storage(url), study_name="s"), names)
    taken, failures = [], []

    def work(worker):
        try:
            study = optuna.load_study(storage=open_storage(url), study_name="s")
            while (trial := slots.take(study, names, worker)) is not None:
                taken.append(trial.number)
                study._storage.set_trial_user_attr(trial._trial_id, "beat", 1)
                slots.finish(study, drawn(study, trial), 1.0)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(taken) == list(range(60))


def test_the_watch_gives_up_who_is_silent_and_nobody_else(study, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(slots.time, "monotonic", lambda: now[0])
    slots.fill(study, ["0", "1", "2"])
    silent, beating, own = (slots.take(study, [str(i)], str(i)) for i in range(3))
    watch = slots.Watch(interval=10.0)
    found = []
    for look in range(slots.SILENT_BEATS + 1):
        study._storage.set_trial_user_attr(beating._trial_id, "beat", look)
        found.append(watch.silent(study.trials, alive=["2"]))
        assert watch.silent(study.trials) == []  # too soon
        now[0] += 10
    assert [[trial.number for trial in each] for each in found[-2:]] == [[], [silent.number]]
    assert own.number == 2


def test_an_outage_makes_nobody_look_dead(study, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(slots.time, "monotonic", lambda: now[0])
    slots.fill(study, ["0"])
    slots.take(study, ["0"], "a")
    watch = slots.Watch(interval=10.0)
    for _ in range(3):
        assert watch.silent(study.trials) == []
        now[0] += 1000  # no look was possible meanwhile
