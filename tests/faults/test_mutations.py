"""Damage at random places: the digest finds it; where it is made right again, nothing breaks."""

import shutil

import h5py
import pytest
from many_commands import GIB, Commands
from PIL import Image
from processes import run
from reading_commands import clear_results, filled, lines_with

from nnlab.errors import FileFormatError
from nnlab.runs import container, open_run

pytestmark = pytest.mark.faults

# So many files are damaged in one case, for one process: what leaks would show as memory.
FEW, MANY = 80, 250
# Beyond what the process itself takes.
MEMORY = 500 * 2**20


@pytest.fixture(scope="module")
def good(small_data, tmp_path_factory):
    """A good run, its data, and a picture for it."""
    folder = tmp_path_factory.mktemp("good")
    done = run("train", small_data, "-o", folder / "run.h5", "--model", "mlp", "--hidden", 8,
               "--dropout", 0.1, "--epochs", 1)  # fmt: skip
    assert done.code == 0, done.stderr
    assert run("eval", folder / "run.h5").code == 0
    Image.new("L", (7, 7), 99).save(folder / "picture.png")
    return {"RUN": folder / "run.h5", "DATA": small_data, "PICTURE": folder / "picture.png"}


def bulk_of(path):
    """Where the bytes of long arrays lie: damage there only changes numbers."""
    found = []

    def enter(_, member):
        if isinstance(member, h5py.Dataset) and member.nbytes > 256 and member.dtype.kind != "S":
            start = member.id.get_offset()
            if start is not None:
                found.append(range(start, start + member.nbytes))

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(enter)
    return found


def mutated(rng, content, bulk, first=0):
    """A copy of a file's bytes with a bit, byte, eight bytes, block or end changed."""
    image = content
    while image == content:
        image = _mutated(rng, content, bulk, first)
    return image


def _mutated(rng, content, bulk, first):
    image = bytearray(content)
    while True:
        place = rng.randrange(first, len(image))
        # Nearly all bytes are pixels and weights; the rest is what a reader can stumble over.
        if not any(place in part for part in bulk) or rng.random() < 0.02:
            break
    match rng.choice(["bit", "byte", "eight", "number", "cut", "block"]):
        case "bit":
            image[place] ^= 1 << rng.randrange(8)
        case "byte":
            image[place] = rng.randrange(256)
        case "eight":
            image[place : place + 8] = rng.randbytes(8)
        case "number":
            value = rng.choice([0, 1, 2**16 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1])
            image[place : place + 8] = value.to_bytes(8, "little")
        case "cut":
            del image[place:]
        case "block":
            image[place : place + 64] = bytes(64)
    return bytes(image)


@pytest.mark.cases(4, campaign=20)
def test_the_digest_finds_every_change_of_a_run_file(good, tmp_path, rng, whole, count):
    content, bulk = good["RUN"].read_bytes(), bulk_of(good["RUN"])
    path = tmp_path / "run.h5"
    for _ in range(MANY):
        image = mutated(rng, content, bulk)
        path.write_bytes(image)
        with pytest.raises(FileFormatError) as caught:
            open_run(path)
        assert "\n" not in str(caught.value)
        count("refused by the digest")


def check(answer, about, count):
    """Fail unless a command lived through it: a result or one line, in bounded memory."""
    # Huge weights are numbers, too: then rounding hides the differences that gradcheck measures.
    verdict = about[0] == "gradcheck" and answer.code == 1 and "WRONG" in answer.stdout
    assert answer.code in {0, 2, 3} or verdict, f"{about}: {answer}"
    assert "Traceback" not in answer.stderr, f"{about}: {answer}"
    lines = int(answer.code != 0 and not verdict)
    assert answer.stderr.count("nnlab: ") == lines, f"{about}: {answer}"
    assert answer.memory < MEMORY, f"{about}: {answer}"
    count(f"exit code {answer.code}")
    count.most("megabytes", answer.memory / 1e6)


@pytest.mark.cases(2, campaign=20)
def test_damage_under_a_right_digest_is_lived_through(good, tmp_path, rng, whole, count):
    content, bulk = good["RUN"].read_bytes(), bulk_of(good["RUN"])
    path, lines = tmp_path / "run.h5", lines_with("RUN")
    with Commands(patience=5, address_space=4 * GIB) as runner:
        for _ in range(MANY if whole else FEW):
            image = mutated(rng, content, bulk, container.BLOCK)[container.SEAL_LENGTH :]
            path.write_bytes(container.seal_line(image) + image)
            _, line = rng.choice(lines)
            answer = runner.run(*filled(line, tmp_path, **{**good, "RUN": path}))
            clear_results(tmp_path)
            if answer.code not in {0, 2, 3}:
                shutil.copy(path, tmp_path / "culprit.h5")
            check(answer, line, count)


@pytest.mark.cases(2, campaign=20)
def test_damaged_data_files_are_lived_through(good, tmp_path, rng, whole, count):
    content, bulk = good["DATA"].read_bytes(), bulk_of(good["DATA"])
    path, lines = tmp_path / "data.h5", lines_with("DATA")
    with Commands(patience=5, address_space=4 * GIB) as runner:
        for _ in range(MANY if whole else FEW):
            path.write_bytes(mutated(rng, content, bulk))
            _, line = rng.choice(lines)
            files = {**good, "DATA": path}
            if "--resume" in line:
                files["RUN"] = tmp_path / "resumed.h5"
                shutil.copy(good["RUN"], files["RUN"])
            answer = runner.run(*filled(line, tmp_path, **files))
            clear_results(tmp_path)
            check(answer, line, count)
