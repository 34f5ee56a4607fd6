import errno
import json
import os
import zipfile
from pathlib import Path

import nbformat
import pytest
from handing_in import NAME, handed_in, named, restored

from magnet_helpers.files import StorageError
from tools.coursework.submissions import (
    LARGEST_FILE,
    Submission,
    SubmissionError,
    find_submissions,
    read_submission,
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no Jupyter notebook"),
        (b"{", "no Jupyter notebook"),
        (b"[]", "no Jupyter notebook"),
        (b'{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "no Jupyter notebook"),
        (b"\xff\xfe\x00", "no Jupyter notebook"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"cells": [], "metadata": {"magnet_lab": {"code": "x"}}, "nbformat": 4, "nbformat_minor": 5}', "a lesson"),
    ],
)
def test_what_is_no_assignment_is_refused_with_a_reason(tmp_path, content, message):
    (tmp_path / "x.ipynb").write_bytes(content)
    with pytest.raises(SubmissionError, match=message):
        read_submission(tmp_path / "x.ipynb", NAME)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "x.ipynb").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(SubmissionError, match="20 MB; no more"):
        read_submission(tmp_path / "x.ipynb", NAME)


@pytest.mark.parametrize("cell", [{}, {"cell_type": "code"}, {"cell_type": "video", "source": ""}])
def test_a_cell_that_is_none_is_left_out(tmp_path, cell):
    notebook = json.loads(nbformat.writes(handed_in()))
    count = len(notebook["cells"])
    notebook["cells"].append(cell)
    (tmp_path / "x.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    submitted = read_submission(tmp_path / "x.ipynb", NAME)
    assert len(submitted.cells) == count
    restored(submitted)


def put(path, notebook=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook if notebook is not None else handed_in()), encoding="utf-8")


def test_submissions_are_found_in_folders_and_zip_files(tmp_path):
    put(tmp_path / "Ann" / f"{NAME}.ipynb")
    put(tmp_path / "Böb (12)" / "deep" / "my notebook.ipynb")  # known by what it says itself
    put(tmp_path / "x" / f"{NAME}.ipynb")
    with zipfile.ZipFile(tmp_path / "Cid.zip", "w") as archive:
        archive.write(tmp_path / "x" / f"{NAME}.ipynb", "../../evil.ipynb")
    (tmp_path / "Dan.zip").write_bytes(b"no zip")
    (tmp_path / "x" / f"{NAME}.ipynb").unlink()
    submissions, remarks = find_submissions(tmp_path, [NAME])
    assert [(work.student, work.assignment) for work in submissions] == [
        ("Ann", NAME),
        ("Böb (12)", NAME),
        ("Cid", NAME),
    ]
    assert submissions[2].path.name == "evil.ipynb"
    assert submissions[2].path.is_relative_to(tmp_path / "Cid")
    assert [remark.split(":")[0] for remark in remarks] == ["Dan", "x"]


def test_a_zip_file_that_a_full_disk_cut_short_is_unpacked_again(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "Ann.zip", "w") as archive:
        archive.writestr(f"{NAME}.ipynb", "all of it")

    def full(path, content):
        path.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match="No space left"):
            find_submissions(tmp_path, [NAME])
    ((submission,), _) = find_submissions(tmp_path, [NAME])
    assert submission.path.read_text() == "all of it"


def test_a_zip_file_is_unpacked_again_when_it_changed_and_its_newest_notebook_counts(tmp_path):
    def zipped(*entries: tuple[str, int, str]) -> str:
        with zipfile.ZipFile(tmp_path / "Ann.zip", "w") as archive:
            for folder, year, said in entries:
                notebook = handed_in(count=said)
                archive.writestr(
                    zipfile.ZipInfo(f"{folder}/{NAME}.ipynb", (year, 1, 1, 0, 0, 0)), nbformat.writes(notebook)
                )
        (submission,), _ = find_submissions(tmp_path, [NAME])
        return named(read_submission(submission.path, NAME))["count"]

    assert zipped(("new", 2026, "new"), ("old", 2020, "old")) == "new"
    assert zipped(("a", 2021, "another file")) == "another file"


def test_of_two_files_the_newer_counts_and_strange_ones_are_named(tmp_path):
    put(tmp_path / "Ann" / f"{NAME}.ipynb")
    put(tmp_path / "Ann" / f"{NAME} (1).ipynb")
    os.utime(tmp_path / "Ann" / f"{NAME}.ipynb", (1, 1))
    (tmp_path / "Ann" / "holiday.ipynb").write_text("{}", encoding="utf-8")
    (tmp_path / "Ann" / f"{NAME}_broken.ipynb").write_text("{", encoding="utf-8")
    os.utime(tmp_path / "Ann" / f"{NAME}_broken.ipynb", (0, 0))
    submissions, remarks = find_submissions(tmp_path, [NAME])
    assert [work.path.name for work in submissions] == [f"{NAME} (1).ipynb"]
    assert any("holiday.ipynb is none" in remark for remark in remarks)
    assert any("is older than" in remark for remark in remarks)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SubmissionError, match="one folder"):
        find_submissions(tmp_path, [NAME])


def test_student_ids_are_plain_and_unique(tmp_path):
    names = ["ann", "Ann B", "Ann-B", "Änn", "李", "*", "../x"]
    ids = [Submission(name, NAME, tmp_path).student_id for name in names]
    assert ids[0] == "ann"
    assert ids[2] == "Ann-B"
    assert len(set(ids)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") for name in ids)
