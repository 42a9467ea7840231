import os
import zipfile
from pathlib import Path

import pytest

from siamese_nn import datasets, evaluation

PEOPLE = [f"Person Number{i:02d}" for i in range(20)]


@pytest.fixture
def cfp_dir(tmp_path) -> Path:
    """CFP's layout in small: 20 people of 2 frontal and 2 profile photos, two people a fold."""
    for side, view in (("F", "frontal"), ("P", "profile")):
        lines = []
        for number in range(40):
            photo = f"Data/Images/{number // 2 + 1:03d}/{view}/{number % 2 + 1:02d}.jpg"
            (tmp_path / photo).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / photo).touch()
            lines.append(f"{number + 1} ../{photo}")
        write(tmp_path / "Protocol" / f"Pair_list_{side}.txt", lines)
    write(tmp_path / "Data" / "list_name.txt", PEOPLE)
    for fold in range(10):
        first = 4 * fold  # the fold's photos are first + 1 to first + 4, of two people
        for task in ("FF", "FP"):
            folder = tmp_path / "Protocol" / "Split" / task / f"{fold + 1:02d}"
            write(folder / "same.txt", [f"{first + 1},{first + 2}", f"{first + 3},{first + 4}"])
            write(folder / "diff.txt", [f"{first + 1},{first + 3}", f"{first + 4},{first + 2}"])
    return tmp_path


def write(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("task", "right_view"), [("FF", "frontal"), ("FP", "profile")])
def test_the_folds_are_those_of_the_files(cfp_dir, task, right_view):
    folds = datasets.read_cfp_folds(cfp_dir, task)
    assert len(folds) == 10
    second = folds[1]
    images = cfp_dir / "Data" / "Images"
    assert second.same.tolist() == [1, 1, 0, 0]
    assert second[0] == (
        str(images / "003" / "frontal" / "01.jpg"),
        str(images / "003" / right_view / "02.jpg"),
        1,
    )
    assert second[3] == (
        str(images / "004" / "frontal" / "02.jpg"),
        str(images / "003" / right_view / "02.jpg"),
        0,
    )
    assert second.left_identities.tolist() == [f"Person_Number0{i}" for i in (2, 3, 2, 3)]
    assert second.right_identities.tolist() == [f"Person_Number0{i}" for i in (2, 3, 3, 2)]
    report = evaluation.cross_validate([[2, 3, 0, 1]] * 10, folds)
    assert report.n_people == 20 and report.accuracy["mean"] == 1


def test_a_pair_given_twice_is_kept_as_published(cfp_dir):
    write(cfp_dir / "Protocol/Split/FF/01/same.txt", ["1,2", "2,1"])
    assert len(datasets.read_cfp_folds(cfp_dir, "FF")[0]) == 4


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("Protocol/Split/FF/03/same.txt", ["9,10", "9"], "03/same.txt:2: expected two photo numbers.*'9'"),
        ("Protocol/Split/FF/03/same.txt", ["9,x"], "same.txt:1: expected two photo numbers"),
        ("Protocol/Split/FF/03/diff.txt", ["9,41"], "diff.txt:1: expected.*from 1 to 40 and to 40.*'9,41'"),
        ("Protocol/Split/FF/03/diff.txt", ["0,9"], "diff.txt:1: expected two photo numbers"),
        ("Protocol/Split/FF/03/diff.txt", [], "diff.txt:1: expected two photo numbers.*Received: ''"),
        ("Protocol/Split/FF/03/same.txt", ["9,9"], "same.txt:1: a photo paired with itself"),
        (
            "Protocol/Split/FF/03/same.txt",
            ["9,11"],
            "same.txt:1: a pair of Person_Number04 and Person_Number05",
        ),
        ("Protocol/Split/FF/03/diff.txt", ["9,10"], "diff.txt:1: a pair of .*two people.*Correct or remove"),
        (
            "Protocol/Pair_list_F.txt",
            ["2 ../Data/Images/001/frontal/01.jpg"],
            "Pair_list_F.txt:1: expected `1 ",
        ),
        ("Protocol/Pair_list_F.txt", ["1 ../Data/Images/001/profile/01.jpg"], "list_F.txt:1: .*profile"),
        ("Protocol/Pair_list_F.txt", ["1 ../Data/Images/021/frontal/01.jpg"], "list_F.txt:1: .*001 to 020"),
        ("Protocol/Pair_list_F.txt", ["1 ../../../etc/frontal/01.jpg"], "Pair_list_F.txt:1: expected"),
        ("Data/list_name.txt", ["Al Pacino", "", "Ada"], "list_name.txt:2: a line without a name"),
        (
            "Data/list_name.txt",
            ["Al Pacino", "Ada", "Al  Pacino"],
            "list_name.txt:3: the name of line 1 again",
        ),
    ],
)
def test_malformed_files_are_named_with_their_line(cfp_dir, file, lines, message):
    write(cfp_dir / file, lines)
    with pytest.raises(datasets.PairFileError, match=message):
        datasets.read_cfp_folds(cfp_dir, "FF")


@pytest.mark.parametrize("task", ["FF", "FP"])
@pytest.mark.parametrize("file", ["01/same.txt", "01/diff.txt", "10/diff.txt"])
def test_a_fold_file_that_was_cut_off_is_named(cfp_dir, task, file):
    path = cfp_dir / "Protocol" / "Split" / task / file
    first, second = path.read_text().split()
    for lines, count in (([first], 1), ([first, second, second], 3)):
        write(path, lines)
        with pytest.raises(
            datasets.PairFileError, match=f"{task}/{file}: must hold 2 pairs.*Received: {count}. Unpack"
        ):
            datasets.read_cfp_folds(cfp_dir, task)


def test_what_is_missing_is_listed(cfp_dir):
    (cfp_dir / "Data/Images/003/profile/02.jpg").unlink()
    assert len(datasets.read_cfp_folds(cfp_dir, "FF")) == 10
    with pytest.raises(datasets.PairFileError, match=r"1 of the 60 photos.*\n.*003/profile/02.jpg"):
        datasets.read_cfp_folds(cfp_dir, "FP")
    (cfp_dir / "Protocol/Split/FP/10/diff.txt").unlink()
    with pytest.raises(FileNotFoundError, match="10/diff.txt does not exist.*cfp-dataset"):
        datasets.read_cfp_folds(cfp_dir, "FP")
    with pytest.raises(ValueError, match="`task` must be.*Received: task='PP'"):
        datasets.read_cfp_folds(cfp_dir, "PP")


def test_names_come_in_lfws_form(tmp_path):
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffAl  Pacino\r\nAmar'e Stoudemire\r\nAda_Adler\n\n".encode())
    assert datasets.read_names(file) == ["Al_Pacino", "Amar'e_Stoudemire", "Ada_Adler"]
    write(file, ["Al Pacino", "Al_Pacino"])
    with pytest.raises(datasets.PairFileError, match=r"names.txt:2: the name of line 1 again: Al_Pacino"):
        datasets.read_names(str(file))
    write(file, [""])
    with pytest.raises(datasets.PairFileError, match="names.txt:1: a line without a name"):
        datasets.read_names(file)
    with pytest.raises(FileNotFoundError, match="gone.txt does not exist"):
        datasets.read_names(tmp_path / "gone.txt")


def test_the_split_takes_eight_folds_one_and_one(cfp_dir):
    folds = datasets.read_cfp_folds(cfp_dir, "FP")
    train, val, test = datasets.split_cfp_folds(folds)
    assert [len(pairs) for pairs in (train, val, test)] == [32, 4, 4]
    assert train.left.tolist() == [photo for fold in folds[:8] for photo in fold.left]
    assert train.same.tolist() == [1, 1, 0, 0] * 8
    assert val.keys() == folds[8].keys() and test.identities() == {"Person_Number18", "Person_Number19"}
    with pytest.raises(ValueError, match="`folds` must be the ten.*Received: 9"):
        datasets.split_cfp_folds(folds[:9])
    for wrong in ([*folds[:8], folds[0], folds[9]], [*folds[:9], folds[0]], [*folds[:9], folds[8]]):
        with pytest.raises(datasets.IdentityLeakError):
            datasets.split_cfp_folds(wrong)


def test_the_real_cfp(tmp_path):
    source = os.environ.get("SIAMESE_NN_CFP")
    if not source:
        pytest.skip("SIAMESE_NN_CFP is not set to a folder with cfp-dataset.zip")
    with zipfile.ZipFile(Path(source) / "cfp-dataset.zip") as archive:
        wanted = [name for name in archive.namelist() if "/Protocol/" in name or "list_name" in name]
        archive.extractall(tmp_path, wanted)
        photos = [name for name in archive.namelist() if "/Images/" in name and name.endswith(".jpg")]
    for photo in photos:  # the photos themselves are not read
        (tmp_path / photo).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / photo).touch()
    assert sum("/frontal/" in photo for photo in photos) == 5000
    assert sum("/profile/" in photo for photo in photos) == 2000
    everybody, by_task = set(), []
    for task in ("FF", "FP"):
        folds = datasets.read_cfp_folds(tmp_path / "cfp-dataset", task)
        assert [(int(fold.same.sum()), len(fold)) for fold in folds] == [(350, 700)] * 10
        people = [fold.identities() for fold in folds]
        assert [len(names) for names in people] == [50] * 10
        assert len(set.union(*people)) == 500  # nobody is in two folds
        everybody |= set.union(*people)
        by_task.append(people)
        train, val, test = datasets.split_cfp_folds(folds)
        assert [(len(part), len(part.identities())) for part in (train, val, test)] == [
            (5600, 400),
            (700, 50),
            (700, 50),
        ]
        evaluation.cross_validate([fold.same + 0.0 for fold in folds], folds)
    assert by_task[0] == by_task[1]  # fold by fold, FF and FP have the same people
    assert set(datasets.read_names(tmp_path / "cfp-dataset/Data/list_name.txt")) == everybody
    assert len(everybody) == 500 and {"Al_Pacino", "Amar'e_Stoudemire"} <= everybody


def test_lists_of_people_are_in_utf_8_and_name_those_on_the_photos(tmp_path):
    for encoding in ("latin-1", "utf-16"):
        (tmp_path / "names.txt").write_bytes("Penélope Cruz\n".encode(encoding))
        with pytest.raises(datasets.PairFileError, match="names.txt is not in UTF-8"):
            datasets.read_names(tmp_path / "names.txt")
    with pytest.raises(FileNotFoundError, match="nowhere.txt does not exist"):
        datasets.read_names(tmp_path / "nowhere.txt")
    folder = datasets.make_toy_cfp(tmp_path / "cfp", frontal_photos=2, profile_photos=1)
    names = folder / "Data" / "list_name.txt"
    names.write_text(f"Nobody Else\n{names.read_text()}")
    with pytest.raises(datasets.PairFileError, match="21 names for 20 people"):
        datasets.read_cfp_folds(folder, "FF")
