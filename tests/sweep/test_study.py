"""STUDY.toml and its folder: what a study is, and what belongs to it."""

import json

import pytest

from nnlab.errors import InputError
from nnlab.sweep.folder import DataSource, enter
from nnlab.sweep.study import read_study, shown_storage
from nnlab.sweep.trials import Trials, check_points

SEARCH = "[search]\nlr = {low = 1e-4, high = 1e-1, log = true}\n"


@pytest.fixture
def write(tmp_path):
    """Write a study: what stands before [search], and the search itself."""

    def write(head="", search=SEARCH, name="lr.toml"):
        path = tmp_path / name
        path.write_text(f'data = "small.h5"\n{head}\n{search}')
        return path

    return write


def test_what_is_left_out_has_the_defaults_of_a_random_search(write, tmp_path):
    study = read_study(write("trials = 3"))
    assert (study.sampler, study.metric, study.repeats, study.seeds) == (
        "random", "val_accuracy", 1, (0,),
    )  # fmt: skip
    assert study.folder == tmp_path / "lr.sweep"
    assert study.data == str(tmp_path / "small.h5")
    assert [task.run.name for task in Trials(study).all_tasks()] == [
        "trial-00000.h5", "trial-00001.h5", "trial-00002.h5",
    ]  # fmt: skip


def test_repeats_are_runs_with_the_seeds_that_follow(write):
    study = read_study(write("trials = 1\nrepeats = 3\nfixed.seed = 5"))
    assert [(task.seed, task.run.name) for task in Trials(study).all_tasks()] == [
        (5, "trial-00000-seed-5.h5"), (6, "trial-00000-seed-6.h5"), (7, "trial-00000-seed-7.h5"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "say how long to search"),
        ("trials = 0", "trials is a whole number from 1"),
        ("trials = true", "trials is a whole number"),
        ('trials = 3\nsampler = "best"', "sampler is one of grid, random, tpe"),
        ('trials = 3\nmetric = "accuracy"', "metric is one of val_accuracy, val_loss"),
        ("trials = 3\nworkers = 3", "unknown key 'workers'"),
        ('trials = 3\ntime = "soon"', "'soon' is no duration"),
        ("trials = 3\nfixed.val = 0", "fixed.val is 0"),
        ("trials = 3\nfixed.epoch = 1", "unknown setting 'epoch'"),
        ("trials = 3\nfixed = 1", "fixed is a table"),
        ("trials = 3\nfolder = 1", "folder is no text"),
        ('sampler = "grid"', "a grid needs to know how many values"),
        ("trials = ", "is no valid TOML"),
    ],
)
def test_a_wrong_study_is_refused_with_its_name(write, head, message):
    path = write(head)
    with pytest.raises(InputError) as caught:
        read_study(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_combination_that_train_refuses_is_found_before_the_first_trial(write):
    search = '[search]\noptimizer = ["momentum", "adam"]\nmomentum = [0.5, 0.9]\n'
    study = read_study(write('sampler = "grid"', search))
    with pytest.raises(InputError, match=r"trial 2 .* cannot be trained: --momentum belongs to"):
        check_points(Trials(study))


def test_a_folder_belongs_to_one_definition(write, tmp_path):
    data = DataSource(tmp_path / "small.h5", "abc")
    path = write("trials = 3\nseed = 1")
    enter(read_study(path), data)
    # More trials, and as often as one likes.
    enter(read_study(write("trials = 9\nseed = 1")), data)
    before = (tmp_path / "lr.sweep" / "study.json").read_bytes()
    for head, search, message in (
        ("trials = 3\nseed = 2", SEARCH, "seed was 1, is 2"),
        ("trials = 3\nseed = 1\nfixed.epochs = 3", SEARCH, "fixed.epochs was not there, is 3"),
        ("trials = 3\nseed = 1", SEARCH.replace("1e-1", "1e-2"), 'search.lr was {"low": 0.0001'),
    ):
        with pytest.raises(InputError) as caught:
            enter(read_study(write(head, search)), data)
        assert message in str(caught.value)
    with pytest.raises(InputError, match="other content is"):
        enter(read_study(write("trials = 3\nseed = 1")), DataSource(tmp_path / "small.h5", "def"))
    assert (tmp_path / "lr.sweep" / "study.json").read_bytes() == before
    assert [item.name for item in (tmp_path / "lr.sweep").iterdir()] == ["study.json"]


def test_a_folder_of_something_else_is_left_alone(write, tmp_path):
    (tmp_path / "lr.sweep").mkdir()
    (tmp_path / "lr.sweep" / "thesis.tex").write_text("mine")
    study = read_study(write("trials = 3"))
    with pytest.raises(InputError, match="is no study's folder"):
        enter(study, DataSource(tmp_path / "small.h5", "abc"))
    assert [item.name for item in study.folder.iterdir()] == ["thesis.tex"]
    (tmp_path / "lr.sweep" / "study.json").write_text(json.dumps({"mine": 1}))
    with pytest.raises(InputError, match="damaged or of another program"):
        enter(study, DataSource(tmp_path / "small.h5", "abc"))


@pytest.mark.parametrize(
    ("head", "search", "most"),
    [
        ("", "", 20),
        ("fixed.epochs = 7", "", 7),
        ("", "epochs = [5, 40, 10]", 40),
        ("", "epochs = { low = 3, high = 12 }", 12),
        ("", 'optimizer = ["adam", "sgd"]\nepochs = { low = 3, high = 9, when = { optimizer = '
             '"adam" } }', 20),
    ],
)  # fmt: skip
def test_hyperband_spans_the_epochs_that_a_trial_may_train(write, head, search, most):
    study = read_study(write(f'trials = 3\npruner = "hyperband"\n{head}', SEARCH + search))
    assert study.most_epochs == most
    pytest.importorskip("optuna")
    from nnlab.sweep.shared import make_pruner

    assert make_pruner(study)._max_resource == most


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, "journal.log"),
        ("postgresql+psycopg://me:secret@host:5432/db", "postgresql+psycopg://host:5432/db"),
        ("postgresql://me@/db?host=/run/pg", "postgresql:///db?host=/run/pg"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db"),
        ("sqlite:////scratch/a.db", "sqlite:////scratch/a.db"),
    ],
)
def test_a_storage_is_named_as_it_is_typed_without_who_may_use_it(url, shown):
    assert shown_storage(url) == shown
    assert shown_storage(shown) == shown
