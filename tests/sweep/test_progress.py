"""What a sweep tells whoever follows its log."""

from made_up_study import made_up

from nnlab.cli.sweep_progress import SweepProgress
from nnlab.sweep.trials import Standing, Trials
from nnlab.sweep.worker import Began, Idle


def test_waiting_for_other_workers_is_said_once(tmp_path, capsys):
    study, _ = made_up(tmp_path, trials=3)
    trials = Trials(study)
    with SweepProgress(study, trials) as progress:
        for others in (3, 2, 1):
            progress.show(Idle(others))
        progress.show(Began(next(iter(trials.all_tasks())), Standing("waiting"), ""))
        progress.show(Idle(2))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" of other workers")[0] for line in lines] == [
        "nothing is left but 3 runs", "nothing is left but 2 runs",
    ]  # fmt: skip
