"""Numbers of the kept results that stand in prose: computed from `data/results/`, and looked for as they are."""

import re

import pytest
from kept_numbers import PGD_WHITE, ROOT, SAID, THREATS, attack_results, by_seed, percent, results, text_of

from magnet_helpers.defenses import NO_REFORMER, VANILLA, contractive, denoising, stacked
from magnet_helpers.lab.lessons import LESSONS
from magnet_helpers.study.differences import crossed_frame, variant_frame
from magnet_helpers.study.grid import (
    NOISE_LEVELS,
    OTHER_PENALTIES,
    STACK_SIZES,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    UNDER_ATTACK,
)
from magnet_helpers.study.published import paper_number
from magnet_helpers.study.threats import (
    GREY_BOX,
    PAPERS_SETTINGS,
    WHITE_BOX,
)


def test_the_readme_s_findings_that_are_no_number():
    paper, attacked = results("paper"), attack_results("paper")
    assert not any(row.collapsed for defense in TABLE_2 for row in paper.find(defense).values())
    for size in STACK_SIZES:
        order = sorted(NOISE_LEVELS, key=lambda level, size=size: -percent(paper, stacked(size, level), WHITE_BOX))
        assert set(order[:2]) == {0.2, 0.3}, "noise 0.2 and 0.3 give the highest white-box accuracy"
    lines = [
        (defense, threat)
        for family in OTHER_PENALTIES.values()
        for defense in family
        for threat in (GREY_BOX, WHITE_BOX)
    ]
    gains = {line: paper.gain((contractive(0.0), line[1]), line).value for line in lines}
    assert len(gains) == 14
    assert max(gains, key=gains.__getitem__) == (OTHER_PENALTIES["dense layer"][-1], GREY_BOX)
    left = [percent(paper, defense, PGD_WHITE) for defense in TABLE_4]
    left += [percent(attacked, defense, THREATS.pgd_white_box) for defense in UNDER_ATTACK[:-1]]
    assert max(left) < 12, "at most about a tenth"
    for defense in (VANILLA, contractive(1e-3)):
        assert percent(paper, defense, PGD_WHITE) == 0
    assert "many steps through the reformer leave at most about a tenth" in text_of("README.md")


def test_lesson_07_s_findings_that_are_no_number():
    for seed in range(3):  # "in each of our three runs with this budget, yes to all"
        grey, white = (
            {defense: by_seed("fast", defense, threat)[seed] for defense in TABLE_4} for threat in (GREY_BOX, WHITE_BOX)
        )
        bare, single, cae = white[NO_REFORMER], denoising(0.4), contractive(1e-3)
        assert all(box[defense] > bare for box in (grey, white) for defense in TABLE_4[1:])
        assert all(box[VANILLA] < box[cae] < box[single] for box in (grey, white))
        assert min(grey[stacked(2, 0.4)], grey[stacked(3, 0.4)]) > grey[single]
        assert white[VANILLA] > grey[VANILLA]
    pairs = [
        (paper_number(defense, threat), results("paper").accuracy(defense, threat))
        for defense in {*TABLE_2, *TABLE_3, *TABLE_4}
        for threat in PAPERS_SETTINGS
    ]
    assert not any(number.percent / 100 > ours.interval[1] for number, ours in pairs if number and ours)
    fast = results("fast")
    dense = [
        fast.gain((contractive(0.0), box), (each, box))
        for each in OTHER_PENALTIES["dense layer"]
        for box in (GREY_BOX, WHITE_BOX)
    ]
    assert sum(each.interval[0] > 0 for each in dense) == 1
    assert all(row.collapsed for row in fast.find(OTHER_PENALTIES["published"][-1]).values())
    crossed = crossed_frame(fast)
    attacked = crossed[~crossed.index.str.endswith("clean")]
    assert (attacked["of the classifier"].astype(float) >= attacked["of the reformer"].astype(float)).all()
    variants = variant_frame(results("paper"))
    small = variants[variants.index.str.contains("fixed noise|decoder|noisy")]
    assert len(small) == 4
    assert all(
        abs(float(cell.split()[0])) <= 0.6 for column in ("clean", "grey box", "white box") for cell in small[column]
    )


@pytest.mark.parametrize("document", SAID)
def test_numbers_of_the_kept_results_stand_in_the_text_as_they_are(document):
    text = text_of(document)
    assert [phrase for phrase in SAID[document]() if phrase not in text] == []


@pytest.mark.parametrize("document", [f"notebooks/source/{lesson.name}.py" for lesson in LESSONS])
def test_no_verdict_has_a_typed_number_that_is_not_computed_here(document):
    """A verdict on the reader's own run gives no number: on another processor it would be another one."""
    cells = (ROOT / document).read_text(encoding="utf-8").split("\n# %%")
    verdicts = [part for cell in cells for part in re.split(r"\n#\n", cell) if "**Verdict**" in part]
    phrases = list(SAID[document]()) if document in SAID else []
    for verdict in verdicts:
        text = " ".join(" ".join(line.removeprefix("#") for line in verdict.splitlines()).split())
        for phrase in phrases:
            text = text.replace(phrase, "")
        assert not re.findall(r"[\d.]+ (?:%|points?\b)", text), text


def test_the_precision_table_counts_its_rows():
    rows = [line for line in (ROOT / "tools/benchmarks/README.md").read_text().splitlines() if line.count("|") == 7]
    measured = [line for line in rows if "clean" in line or "box" in line or "under FGSM" in line]
    assert len(measured) == 14
    for line in measured:
        shift, spread = (float(cell.strip().replace("−", "-")) for cell in line.split("|")[5:7])
        assert abs(shift) <= spread
    assert "All fourteen accuracies agree" in text_of("tools/benchmarks/README.md")
