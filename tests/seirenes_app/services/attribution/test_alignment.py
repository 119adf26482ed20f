import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.attribution.alignment import align, cut_steps

RIGHT = "12 + 7 = 19. 19 - 5 = 14.\n#### 14"
HOUSE = (
    "The cost of the house and repairs came out to 80,000+50,000=$<<80000+50000=130000>>130,000\n"
    "He increased the value of the house by 80,000*1.5=<<80000*1.5=120000>>120,000\n"
    "So the new value of the house is 120,000+80,000=$<<120000+80000=200000>>200,000\n"
    "So he made a profit of 200,000-130,000=$<<200000-130000=70000>>70,000\n"
    "#### 70000"
)
BOXED = """Let's solve it step by step.

**Step 1:** Find the eggs left, i.e. the remainder:
\\[
16 - 3 - 4 = 9
\\]
So 9 eggs are sold, and 9 * 2 = 18, so 18 + 0 = 18.

Therefore the final answer is \\boxed{18}."""


def columns(result):
    return [(p.left, p.right, p.same) for p in result.pairs]


def texts(steps):
    return [s.text for s in (*steps.before, *([steps.answer] if steps.answer else []), *steps.after)]


def test_a_step_too_many_is_where_they_part():
    hinted = "12 + 7 = 19. 19 - 5 = 14. 14 + 9 = 23.\n#### 23"
    result = align(RIGHT, hinted)
    assert columns(result) == [
        ("12 + 7 = 19.", "12 + 7 = 19.", True),
        ("19 - 5 = 14.", "19 - 5 = 14.", True),
        (None, "14 + 9 = 23.", False),
        ("#### 14", "#### 23", False),
    ]
    assert (result.divergence, result.turn) == (2, 2)
    assert RIGHT[: result.left_at].endswith("= 14.")
    assert hinted[result.right_at :].startswith("14 + 9")
    assert "step 3 of 4, which only the second solution takes" in result.note


def test_a_step_that_differs_is_paired_with_its_like():
    hinted = "12 + 7 = 19. 19 + 5 = 24.\n#### 24"
    result = align(RIGHT, hinted)
    assert columns(result)[1] == ("19 - 5 = 14.", "19 + 5 = 24.", False)
    assert RIGHT[result.left_at :].startswith("- 5 = 14")
    assert hinted[result.right_at :].startswith("+ 5 = 24")


def test_the_parting_is_set_back_to_the_begin_of_a_number():
    result = align("5 + 9 = 14.\n#### 14", "5 + 9 = 16.\n#### 16")
    assert (result.left_at, result.right_at) == (8, 8)
    result = align("2:50 + 5 min = 2:55.", "2:50 + 5 h = 2:55.")
    assert (result.left_at, result.right_at) == (9, 9)
    result = align("It costs 1,250.50.", "It costs 1,250.75.")
    assert (result.left_at, result.right_at) == (9, 9)


def test_relations_and_answers_are_worked_out_as_numbers_are():
    result = align("Ann > Bo. Bo > Cy.\n#### Cy", "Ann > Bo. Bo > Ann.\n#### Ann")
    assert result.divergence == result.turn == 1
    result = align("She is last.\n#### Cy", "He is last.\n#### Bo")
    assert (result.divergence, result.turn) == (0, 1)


def test_a_lonely_step_between_equal_ones_is_paired_with_what_stands_there():
    result = align("A 8, B 16. B 2.\n#### 2", "A 8, B 16. Anton 22.\n#### 22")
    assert columns(result)[1] == ("B 2.", "Anton 22.", False)


@pytest.mark.parametrize(
    "other",
    [
        RIGHT,
        "12+7=19. 19−5 = 14\n\n####  14",
        "12 + 7 = 19.\n19 - 5 = 14.\n#### 14\n",
        "12 + 7 = <<12+7=19>>19. 19 - 5 = 14.\n#### 14",
    ],
)
def test_spacing_and_signs_make_no_difference(other):
    result = align(RIGHT, other)
    assert result.divergence is None
    assert result.turn is None
    assert (result.left_at, result.right_at) == (len(RIGHT), len(other))
    assert "same steps" in result.note


def test_an_answer_line_is_always_a_pair_of_its_own():
    assert columns(align(RIGHT, "It was 9.\n#### nothing like it"))[-1] == ("#### 14", "#### nothing like it", False)
    assert columns(align(RIGHT, "Tom gave"))[-1] == ("#### 14", None, False)
    assert columns(align(RIGHT, BOXED))[-1] == ("#### 14", "Therefore the final answer is \\boxed{18}.", False)
    # Also when it stands within a line, and when something follows it.
    assert columns(align("7 + 7 = 14. #### 14", RIGHT + "\nThank you. Bye."))[-3:] == [
        ("#### 14", "#### 14", True), (None, "Thank you.", False), (None, "Bye.", False),
    ]  # fmt: skip


def test_long_solutions_line_up_by_line():
    changed = HOUSE.replace("80,000*1.5=<<80000*1.5=120000>>120,000", "150% of 130,000 = 195,000")
    result = align(HOUSE, changed)
    assert [p.same for p in result.pairs] == [True, False, True, True, True]
    assert result.pairs[1].right == "He increased the value of the house by 150% of 130,000 = 195,000"
    assert result.turn == result.divergence == 1


def test_words_and_numbers_may_part_at_different_steps():
    result = align("First, add: 12 + 7 = 19.\n19 - 5 = 14.\n#### 14", "We add 12 + 7 = 19.\n19 + 5 = 24.\n#### 24")
    assert (result.divergence, result.turn) == (0, 1)
    assert result.note == "They part at step 1 of 3 in words, and at step 2 in what they work out."
    assert "in words only" in align("So 12 + 7 = 19.\n#### 19", "Then 12 + 7 = 19.\n#### 19").note


def test_steps_of_written_mathematics():
    assert texts(cut_steps(BOXED)) == [
        "Let's solve it step by step.",
        "**Step 1:** Find the eggs left, i.e. the remainder:",
        "\\[\n16 - 3 - 4 = 9\n\\]",
        "So 9 eggs are sold, and 9 * 2 = 18,",
        "so 18 + 0 = 18.",
        "Therefore the final answer is \\boxed{18}.",
    ]
    assert texts(cut_steps("2 + 3 = 5 apples, red and green. x = 1; y = 2")) == [
        "2 + 3 = 5 apples, red and green.", "x = 1;", "y = 2",
    ]  # fmt: skip
    assert texts(cut_steps("80,000 + 1,000 = 81,000")) == ["80,000 + 1,000 = 81,000"]


def test_nothing_and_something():
    assert align("", "").note == "Both solutions are empty."
    assert align("", "").pairs == ()
    result = align("", RIGHT)
    assert [p.left for p in result.pairs] == [None] * 3
    assert (result.divergence, result.left_at, result.right_at) == (0, 0, 0)


SOLUTIONS = st.lists(
    st.sampled_from(
        [
            "12 + 7 = 19. ",
            "19 - 5 = 14.",
            "\n",
            "so x = 2, and y = 3 ",
            "#### 14",
            "\\boxed{3}",
            "\\[",
            " é漢 ",
            "---",
            "1. ",
        ]
    )
    | st.text(max_size=8)
).map("".join)


@given(SOLUTIONS, SOLUTIONS)
def test_every_alignment_holds_both_texts_in_order(clean, hinted):
    result = align(clean, hinted)
    for text, spans, steps in (
        (
            clean,
            [p.left_span for p in result.pairs if p.left_span],
            [p.left for p in result.pairs if p.left is not None],
        ),
        (
            hinted,
            [p.right_span for p in result.pairs if p.right_span],
            [p.right for p in result.pairs if p.right is not None],
        ),
    ):
        assert [s.of(text) for s in spans] == steps
        assert all(a.end <= b.start for a, b in zip(spans, spans[1:], strict=False))
        outside = list(text)
        for span in spans:
            outside[span.start : span.end] = " " * (span.end - span.start)
        assert not "".join(outside).strip()
    assert all(p.left is not None or p.right is not None for p in result.pairs)
    assert 0 <= result.left_at <= len(clean)
    assert 0 <= result.right_at <= len(hinted)
    assert (result.divergence is None) == all(p.same for p in result.pairs)


@given(SOLUTIONS)
def test_a_text_is_aligned_with_itself(text):
    assert align(text, text).divergence is None


def test_a_model_that_ran_in_circles_does_not_hold_up_the_window():
    circles = "".join(f"{i} + {i % 7} = {i + i % 7}. " for i in range(600))
    others = "".join(f"{i} - {i % 5} = {i * 3}. " for i in range(600))
    started = time.process_time()
    align(circles, others)
    align("5 + 5 = 10. " * 2000, "5 + 5 = 10. " * 1500)
    assert time.process_time() - started < 10
