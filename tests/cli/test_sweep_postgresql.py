"""A sweep whose trials are shared in a real PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from nnlab.sweep.shared import open_shared
from nnlab.sweep.study import read_study

optuna = pytest.importorskip("optuna")
psycopg = pytest.importorskip("psycopg")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("postgresql")]


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


@pytest.fixture(scope="module")
def postgresql():
    """The URL of a database of its own, on a socket in its folder."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    # Not below the folder of the tests, which other users cannot enter; and short, for its socket.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = []
    if os.geteuid() == 0:  # which initdb refuses
        shutil.chown(folder, "postgres", "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    data = folder / "data"

    def call(program, *arguments):
        subprocess.run([*user, programs / program, *map(str, arguments)], check=True,
                       stdout=subprocess.DEVNULL, cwd=folder)  # fmt: skip

    call("initdb", "-D", data, "-U", "nnlab", "--auth", "trust", "--no-sync")
    call("pg_ctl", "-D", data, "-w", "-l", folder / "log", "start",
         "-o", f"-c listen_addresses= -c unix_socket_directories={folder}")  # fmt: skip
    try:
        yield f"postgresql+psycopg://nnlab@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_workers_share_a_study_in_a_database(
    nnlab, start_nnlab, fashion_file, tmp_path, postgresql
):
    path = tmp_path / "tpe.toml"
    path.write_text(
        f'data = "{fashion_file}"\nsampler = "tpe"\npruner = "median"\ntrials = 8\n'
        "fixed = { epochs = 3, val = 300 }\n"
        "search.lr = { low = 1e-4, high = 1e-1, log = true }\n"
    )
    storage = ("--storage", postgresql)
    workers = [start_nnlab("sweep", "work", path, *storage) for _ in range(3)]
    said = [worker.communicate(timeout=180)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], said
    status = nnlab("sweep", "status", path, *storage, "--json").json
    assert status["finished"]
    assert status["runs"]["done"] + status["runs"]["pruned"] == 8
    storage_of_optuna = optuna.storages.RDBStorage(postgresql)
    stored = optuna.load_study(storage=storage_of_optuna, study_name="tpe").trials
    storage_of_optuna.remove_session()
    storage_of_optuna.engine.dispose()
    assert sorted(trial.number for trial in stored) == list(range(8))
    assert all(trial.state.is_finished() for trial in stored)
    without = nnlab("sweep", "status", path)
    assert without.code == 2
    assert len(without.stderr.strip().splitlines()) == 1


def test_a_worker_that_asks_for_nothing_is_not_connected(tmp_path, postgresql):
    path = tmp_path / "idle.toml"
    path.write_text('data = "none.h5"\nsampler = "tpe"\ntrials = 8\nsearch.lr = [0.1, 0.2]\n')
    study = read_study(path, postgresql)
    study.folder.mkdir()
    trials = open_shared(study, "the folder's")
    assert trials.optuna_study.get_trials() == []
    with psycopg.connect(postgresql.replace("+psycopg", "")) as watching:
        (others,) = watching.execute(
            "select count(*) from pg_stat_activity where backend_type = 'client backend' "
            "and pid <> pg_backend_pid()"
        ).fetchone()
    assert others == 0
