from marks import ROOT, SOURCES

from magnet_helpers.lab.lessons import LESSONS, get_lesson
from tools.coursework.assignments import read_assignments
from tools.coursework.confinement import Limits

PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")


def test_its_table_agrees_with_lessons_and_assignments():
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in PAGE.splitlines()
            if line.startswith("| 0")}  # fmt: skip
    assert sorted(rows) == [lesson.name[:2] for lesson in LESSONS]
    for assignment in read_assignments(SOURCES):
        _, minutes, points, by_hand, students_minutes = rows[assignment.name[:2]]
        assert float(minutes) == get_lesson(assignment.name).minutes["fast"], assignment.name
        assert int(points) == assignment.points, assignment.name
        assert int(by_hand) == sum(task.points for task in assignment.tasks if task.by_hand), assignment.name
        assert int(students_minutes) == sum(task.minutes for task in assignment.tasks), assignment.name


def test_it_names_the_limits_that_hold():
    text = " ".join(PAGE.split())
    said = (
        "{cell_seconds} seconds for a cell, {total_seconds} for all, {memory_mb:,} MB of memory, {output_kb} kB of "
        "output for a cell, {processes} processes, {disk_mb} MB of disk"
    )
    assert said.format(**vars(Limits())) in text
