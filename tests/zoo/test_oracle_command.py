import pytest

from sb3_ext.oracle import ESTIMATORS
from sb3_ext.zoo.__main__ import main


def test_tables_and_picture(tmp_path, capsys):
    assert main(["oracle", "--batches", "400", "--output", str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for family in {estimator.family for estimator in ESTIMATORS.values()}:
        assert family in printed
    assert "targets against T*Q" in printed
    assert (tmp_path / "oracle.png").stat().st_size > 10_000


def test_an_environment_of_gymnasium(tmp_path):
    assert main(["oracle", "--env", "FrozenLake-v1", "--batches", "400", "--output", str(tmp_path)]) == 0


def test_a_claim_that_does_not_hold_ends_with_1(tmp_path, monkeypatch, capsys):
    wrong = ESTIMATORS["mean of -log pi"]._replace(unbiased=True)
    monkeypatch.setitem(ESTIMATORS, "mean of -log pi", wrong)
    assert main(["oracle", "--batches", "400", "--output", str(tmp_path)]) == 1
    assert "said not to be" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--env", "CartPole-v1"], "has no transition table"),
        (["--env", "NoSuchWorld-v1"], "doesn't exist"),
        (["--env", "FrozenLake-v1", "--horizon", "1", "--batches", "400"], "the exact gradient is 0"),
        (["--env", "Taxi-v4", "--gamma", "1", "--batches", "400"], "take a smaller gamma"),
        (["--batches", "3"], "at least 400 batches"),
        (["--group-size", "5"], "divide batch-size"),
    ],
    ids=["no table", "no environment", "no gradient", "no end", "batches", "group"],
)
def test_mistakes_of_the_user(arguments, says, tmp_path, capsys):
    assert main(["oracle", *arguments, "--output", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("gamma", ["0", "1.5", "x"])
def test_no_discount(gamma):
    with pytest.raises(SystemExit) as status:
        main(["oracle", "--gamma", gamma])
    assert status.value.code == 2
