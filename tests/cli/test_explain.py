"""`nnlab explain`: one image's way through a run, or the loss of given scores."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from nnlab.cli.main import main
from nnlab.datasets import open_data
from nnlab.runs import open_run

HOSTILE = ["<script>alert(1)</script>", "[bold]b[/bold]", "שלום", ":cat: \N{CAT FACE} \"'"]


@pytest.fixture(scope="session")
def mlp_run(nnlab, fashion_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "mlp.h5"
    done = nnlab("train", fashion_file, "-o", path, "--epochs", 2, "--model", "mlp", "--hidden",
                 "30,20", "--activation", "sigmoid", "--batch-norm", "--dropout", 0.2, "--l2",
                 1e-4)  # fmt: skip
    assert done.code == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def knn_run(nnlab, fashion_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "knn.h5"
    done = nnlab("knn-baseline", fashion_file, "-o", path, "--k", 5)
    assert done.code == 0, done.stderr
    return path


def test_a_row_of_the_runs_own_data_is_explained_in_all_six_steps(nnlab, mlp_run):
    done = nnlab("explain", mlp_run, "--index", 3)
    assert done.code == 0, done.stderr
    assert "fashion-small/test, row 3" in done.stdout
    for heading in (
        "1. The image is a tensor",
        "2. Scores, class by class",
        "3. The loss",
        "4. Forward, layer by layer",
        "5. Backward: the chain rule",
        "6. One step",
    ):
        assert heading in done.stdout  # fmt: skip
    assert "dropout drops nothing" in done.stdout.lower()
    assert "The loss of this image falls" in done.stdout


def test_json_has_all_numbers_and_names_the_page(nnlab, mlp_run, fashion_file, tmp_path):
    page = tmp_path / "page.html"
    done = nnlab("explain", mlp_run, "--index", 3, "--json", "-o", page)
    found = done.json
    with open_data(fashion_file) as data:
        test = data.split("test")
        assert found["tensor"]["pixels"] == test.images[3].tolist()
        assert found["subject"]["label"] == test.labels[3]
    assert found["subject"]["label_is_known"] is True
    assert len(found["scores"]["evidence"]) == 10
    assert found["total_loss"] == pytest.approx(
        found["loss"]["data_loss"] + found["penalty"]["value"]
    )
    assert found["page"] == str(page)
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_an_image_file_is_explained_by_its_answer_unless_told(
    nnlab, mlp_run, fashion_file, tmp_path
):
    image = tmp_path / "image.png"
    with open_data(fashion_file) as data:
        pixels = data.split("test").images[5, :, :, 0]
    Image.fromarray(np.asarray(pixels)).resize((56, 56), Image.Resampling.NEAREST).save(image)
    unknown = nnlab("explain", mlp_run, image)
    assert "What is right is not known" in unknown.stdout
    known = nnlab("explain", mlp_run, image, "--true", "boot", "--json").json
    assert known["subject"]["label"] == 9
    by_number = nnlab("explain", mlp_run, image, "--true", 9, "--json").json
    assert by_number["loss"] == known["loss"]


def test_a_nearest_neighbour_run_shows_its_neighbours(nnlab, knn_run, tmp_path):
    page = tmp_path / "page.html"
    done = nnlab("explain", knn_run, "--index", 1, "-o", page)
    assert done.code == 0, done.stderr
    assert "of 5 votes" in done.stdout
    assert "outer ring of 4 pixels" in done.stdout
    assert page.read_text().count("<img") == 1 + 2 * 5
    record = nnlab("explain", knn_run, "--index", 1, "--json").json
    assert [n["rank"] for n in record["neighbors"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("delta", "loss"), [(10, 5.0), (1, 0.0), (20, 5.0 + 10.0 + 5.0)])
def test_a_worked_example_needs_no_run(capsys, tmp_path, delta, loss):
    example = ["explain", "--scores", "13,8,-2", "--true", "0", "--delta", str(delta)]
    assert main([*example, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hinge"]["value"] == loss
    assert main([*example, "-o", str(tmp_path / "example.html")]) == 0
    assert "max(0, s_j - s_y + delta)" in capsys.readouterr().out
    assert "The hinge loss" in (tmp_path / "example.html").read_text()


def test_a_worked_example_shows_both_losses_unless_told(capsys):
    example = ["explain", "--scores", "3.2,5.1,-1.7", "--true", "0"]
    assert main(example) == 0
    both = capsys.readouterr().out
    assert "loss = 2.900 + 0 = 2.900" in both
    assert "-log(0.1300) = 2.040" in both
    assert main([*example, "--loss", "squared_hinge", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["squared_hinge"]["value"] == pytest.approx(2.9**2)
    assert "softmax" not in one


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a run file, or --scores"),
        (("RUN",), "name one image"),
        (("RUN", "a.png", "--index", "1"), "name one image"),
        (("RUN", "a.png"), "a.png does not exist"),
        (("RUN", "a.png", "--data", "x.h5"), "--data goes with --index"),
        (("RUN", "--index", "500"), "test has rows 0 to 499"),
        (("RUN", "--index", "1", "--split", "val"), "no split 'val'"),
        (("RUN", "--index", "1", "--true", "boat"), "--true boat is no class; name one of top"),
        (("RUN", "--index", "1", "--true", "10"), "or its number from 0 to 9"),
        (("RUN", "--index", "1", "--delta", "2"), "belong to --scores"),
        (("RUN", "--index", "1", "-o", "RUN"), "is read here"),
        (("RUN", "--index", "1", "-o", "no/where.html"), "does not exist"),
        (("--scores", "1,2"), "--true is missing"),
        (("--scores", "1", "--true", "0"), "two or more numbers"),
        (("--scores", "1,nan", "--true", "0"), "two or more numbers"),
        (("--scores", "1,2", "--true", "2"), "number from 0 to 1"),
        (("--scores", "1,2", "--true", "0", "--delta", "0"), "delta is a number above 0"),
        (("--scores", "1,2", "--true", "0", "--loss", "l1"), "--loss is one of softmax"),
        (("--scores", "1,2", "--true", "0", "--loss", "softmax", "--delta", "1"), "has none"),
        (("RUN", "--scores", "1,2", "--true", "0"), "takes no run"),
    ],
)
def test_wrong_use_is_one_line(capsys, softmax_run, arguments, words):
    given = [str(softmax_run) if word == "RUN" else word for word in arguments]
    assert main(["explain", *given]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_existing_page_is_kept_without_force(nnlab, softmax_run, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("mine")
    done = nnlab("explain", softmax_run, "--index", 0, "-o", page)
    assert done.code == 2
    assert page.read_text() == "mine"
    assert nnlab("explain", softmax_run, "--index", 0, "-o", page, "--force").code == 0
    assert page.read_text() != "mine"


def test_names_are_shown_as_text_and_never_run(nnlab, softmax_run, fashion_file, tmp_path):
    folder = tmp_path / HOSTILE[1].replace("/", "")
    folder.mkdir()
    run = open_run(softmax_run)
    run.classes = [*HOSTILE, *run.classes[len(HOSTILE) :]]
    run.config["model"] = "<img src=x onerror=alert(1)>"
    odd = folder / "<script>x.h5"
    run.save(odd)
    image = folder / f"{HOSTILE[0].replace('/', '')}.png"
    with h5py.File(fashion_file) as file:
        Image.fromarray(file["test/images"][0, :, :, 0]).save(image)
    done = nnlab("explain", odd, image, "--true", 3, "-o", folder / "page.html")
    assert done.code == 0, done.stderr
    page = (folder / "page.html").read_text()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "right is :cat:" in done.stdout, "Rich has taken the name for an emoji"
    for name in HOSTILE:
        assert name in done.stdout, "Rich has taken the name for markup"
    assert "<bdi>[bold]b[/bold]</bdi>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_name_cannot_command_the_terminal(nnlab, softmax_run, tmp_path):
    run = open_run(softmax_run)
    run.classes = ["\x1b[31mred", *run.classes[1:]]
    run.save(tmp_path / "run.h5")
    image = Image.new("L", (28, 28), 90)
    image.save(tmp_path / "image.png")
    done = nnlab("explain", tmp_path / "run.h5", tmp_path / "image.png", "--true", 0)
    assert "\x1b" not in done.stdout
    assert "\N{REPLACEMENT CHARACTER}[31mred" in done.stdout
