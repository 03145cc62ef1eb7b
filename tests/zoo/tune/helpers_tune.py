"""What the tests of ``sb3-ext tune`` share: environments for workers, looks at a study, a PostgreSQL server."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

ENVIRONMENTS = '''
import time

import gymnasium as gym


class Chain(gym.Env):
    """Three states to the right; slow without using the processor, or broken on demand."""

    observation_space, action_space = gym.spaces.Discrete(3), gym.spaces.Discrete(2)

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, seconds=0.0, breaks_after=None, reward=1.0, render_mode=None):
        self.seconds, self.breaks_after, self.reward, self.count = seconds, breaks_after, reward, 0
        self.render_mode = render_mode

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return 0, {}

    def step(self, action):
        time.sleep(self.seconds)
        self.count += 1
        if self.breaks_after is not None and self.count > self.breaks_after:
            raise ValueError("the chain broke")
        self.place = min(self.place + int(action), 2)
        return self.place, self.reward * (self.place == 2), self.place == 2, False, {}


for name, kwargs in {"Quick": {}, "Slow": {"seconds": 0.002}, "Broken": {"breaks_after": 30},
                     "Poisoned": {"reward": float("nan")}}.items():
    gym.register(f"{name}Chain-v0", entry_point=Chain, kwargs=kwargs, max_episode_steps=20)
'''


def worker_ids(process: subprocess.Popen) -> list[int]:
    """Process ids of the workers of a command."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def trials(url: str, study_name: str) -> list[FrozenTrial]:
    """The trials of a study, none if it is not there yet."""
    try:
        return optuna.load_study(study_name=study_name, storage=url).get_trials(deepcopy=False)
    except Exception:  # not there yet, or restarting
        return []


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.3)


def assert_exactly(url: str, study_name: str, n_trials: int) -> None:
    """Each slot has one finished trial, there are no others, and nothing is left over."""
    found = trials(url, study_name)
    done = [trial for trial in found if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert sorted(int(trial.user_attrs["slot"]) for trial in done) == list(range(n_trials))
    assert all(trial.state == TrialState.FAIL for trial in found if trial not in done)


class PostgreSQL:
    """A server of its own in a temporary folder, run by an ordinary user, reached by a socket in that folder."""

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sb3-ext-postgres-"))
        self.url = f"postgresql+psycopg://postgres@/postgres?host={self.folder}"
        self.programs, self.user = programs, None
        if os.geteuid() == 0:  # it refuses to be run by root
            self.user = "nobody"
            os.chown(self.folder, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        self._run("initdb", "--pgdata", self.folder / "data", "--auth", "trust", "--username", "postgres", "--no-sync")
        settings = f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nfsync = off\n"
        with (self.folder / "data" / "postgresql.conf").open("a") as opened:
            opened.write(settings)
        self.control("start")

    def control(self, *arguments: str) -> None:
        """Start, restart or stop it, and wait until that is done."""
        log = self.folder / "log"
        self._run("pg_ctl", "--pgdata", self.folder / "data", "--wait", "--log", log, *arguments)

    def remove(self) -> None:
        """Stop it and delete everything."""
        self.control("stop", "-m", "immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        as_user = ["runuser", "-u", self.user, "--"] if self.user else []
        command = [*as_user, str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stdout


def postgres_programs() -> Path | None:
    """The folder of initdb, which distributions keep out of PATH."""
    folders = [Path(program).parent for program in filter(None, [shutil.which("initdb")])]
    if shutil.which("pg_config"):
        folders.append(
            Path(subprocess.run(["pg_config", "--bindir"], stdout=subprocess.PIPE, text=True).stdout.strip())
        )
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    both = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    return both[0] if both else None
