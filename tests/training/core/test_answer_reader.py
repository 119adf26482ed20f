"""Facts about reading the final answer of a completion: tiers, reasoning blocks, numbers, ambiguity."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.core.answer_reader import (
    Quantity,
    Reading,
    Tier,
    opening_tag,
    parse_words,
    read_answer,
    read_quantity,
    split_reasoning,
)
from training.core.types import AnswerKind

NUMBER, CLOCK, CHOICE, SYMBOLIC = AnswerKind.NUMBER, AnswerKind.CLOCK, AnswerKind.CHOICE, AnswerKind.SYMBOLIC


def read(text, kind=NUMBER, **settings):
    found = read_answer(text, kind, **settings)
    return found.answer if found.reading is Reading.FOUND else found.reading


@pytest.mark.parametrize("text", [
    "#### 12", "###12", "**#### 12**", "#### **12**", "#### $12$", r"#### \(12\)", "#### The answer is 12.", "#### Answer: 12",
    "#### Tom has 12 apples", "#### 5 + 7 = 12", "#### x = 12", "#### `12`", "#### <12>", "#### 12!", "#### 12,",
    "#### 12 (twelve)", "#### twelve", "#### 12 apples 🍎", "#### 12<|im_end|>", "####\n12", "#### 12€", "#### 12 °C",
    "#### 12 km/h", "#### 12.0", "#### 12 m²", "#### One dozen", "#### １２", r"\boxed{12\text{ apples}}", r"\boxed{\textbf{12}}",
    r"The final answer is $\boxed{12}$. I hope it is correct.", r"$$5+7=\boxed{12}$$", r"\boxed{x=12}",
])  # fmt: skip
def test_a_marked_answer_is_read_whatever_surrounds_it(text):
    found = read_answer(text, NUMBER)
    assert (found.tier, found.answer) == (Tier.MARKER, "12")


@pytest.mark.parametrize("text", [
    "The answer is 12", "Final answer: 12", "### Final Answer\n12", "### Final Answer\n\n**12**", "**Answer:** 12",
    "Final Answer: **12 apples**", "The answer is: $12$", "Answer: 12 apples\n\nExplanation: 5 + 7 = 12.",
    "The answer is 12 because 5 + 7 = 12.", "La respuesta es 12.", "Die Antwort lautet 12.", "La réponse est 12.", "答案是12。",
])  # fmt: skip
def test_a_labelled_answer_is_read(text):
    found = read_answer(text, NUMBER)
    assert (found.tier, found.answer) == (Tier.LABEL, "12")


@pytest.mark.parametrize("text", [
    "12 apples", "**12**", "So Tom has 12 apples left.", "Tom has 12 apples left after giving 5 to Anna.", "5 + 7 = 12 apples.",
    "He started with 5, bought 7 more, so he has 12 apples in total.", "Tom ends up with twelve apples.",
    "The total number of apples is 12.",
])  # fmt: skip
def test_the_last_stated_result_is_read(text):
    found = read_answer(text, NUMBER)
    assert (found.tier, found.answer) == (Tier.RESULT, "12")


@pytest.mark.parametrize(("text", "answer"), [
    ("#### 12%", "12%"), ("#### 12 dollars and 50 cents", "12.5"), ("#### 12k", "12000"), ("#### 1e6", "1000000"),
    ("#### 10²", "100"), ("#### 1½", "1.5"), ("#### ½", "0.5"), ("#### –5", "-5"), ("#### -$5", "-5"), ("#### 1 234", "1234"),
    ("#### 1.234,5", "1234.5"), ("#### $1,200.50", "1200.5"), ("#### 3 dozen", "36"), ("#### 1.2 million", "1200000"),
    (r"\boxed{\frac{1}{3}}", "1/3"), (r"\boxed{50\%}", "50%"), (r"\boxed{1{,}234}", "1234"), (r"\boxed{\$5}", "5"),
    ("#### 12/13", "12/13"), ("#### 1 1/2", "1.5"),
])  # fmt: skip
def test_numbers_are_read_with_their_value(text, answer):
    assert read(text) == answer


@pytest.mark.parametrize(
    "text", ["#### 12 minus 3", "#### 3 x 4", "#### 2 hours 30 minutes", "#### 0x10", "#### answer", "I don't know.",
             "The answer is not 12.", "Is it 12?"],
)  # fmt: skip
def test_what_states_no_single_number_is_not_read(text):
    assert read(text) is Reading.NOTHING


@pytest.mark.parametrize(
    "text",
    ["#### 12 or 13", "#### 12 and 13", "#### 12\n#### 13", "The answer is 12 or 13.", "#### 12\nThe answer is 13."],
)
def test_two_different_final_answers_are_ambiguous(text):
    assert read(text) is Reading.AMBIGUOUS


def test_a_corrected_answer_counts_and_an_explicit_marker_beats_a_label_before_it():
    assert read("#### 3\nWait, no.\n#### 12") == "12"
    assert read("The answer is 7.\n#### 12") == "12"


def test_an_answer_is_never_taken_from_a_reasoning_block():
    assert read("<think>#### 7</think>The answer is **12**") == "12"
    assert read("#### 7</think>The answer is **12**") == "12"
    assert read("so 7\n</think>\n12", opened=True) == "12"
    assert read("<|channel|>analysis<|message|>It is 7<|end|><|channel|>final<|message|>12") == "12"
    assert split_reasoning("a<think>b</think>c") == ("a\nc", False)


def test_an_unfinished_block_and_a_cut_answer_are_truncated():
    assert read("<think>So #### 12") is Reading.TRUNCATED
    assert read("It is 12", opened=True) is Reading.TRUNCATED
    assert read("He has 5 and buys 7, so", truncated=True) is Reading.TRUNCATED
    assert read("#### 1", truncated=True) is Reading.TRUNCATED
    assert read("#### 12\nbecause", truncated=True) == "12"
    assert read("The answer is 12.\nThe answer is 12.\nThe answer is 12", truncated=True) == "12"
    assert read("The answer is 12.\nThe answer is 3", truncated=True) is Reading.TRUNCATED


def test_the_other_kinds_are_read():
    assert read("It ends at 4:35 pm.", CLOCK) == "4:35"
    assert read("#### 3:10 or 3:20", CLOCK) is Reading.AMBIGUOUS
    assert read("So Rosa is first, before everybody.", CHOICE, options=("Rosa", "Tom")) == "Rosa"
    assert read("Rosa or Tom", CHOICE, options=("Rosa", "Tom")) is Reading.AMBIGUOUS
    assert read("#### Rosa.", CHOICE) == "Rosa"
    assert read(r"so \boxed{\frac{x}{2}}", SYMBOLIC) == r"\frac{x}{2}"


def test_words_are_numbers():
    assert parse_words("one hundred and twenty-three") == 123
    assert parse_words("two thousand five") == 2005
    assert parse_words("one two") is None
    assert read_quantity("half a dozen") == Quantity(6)


TOKENS = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from([*"0123456789.,/-+*=#$%{}\\ \n()½²°:", "####", "\\boxed{", "\\frac{", "answer is ", "<think>", "</think>",
                     "twelve ", "a dozen ", "e9", "k", "dollars and ", "Tom has ", " apples", " and ", "so ", "not ", "which is ",
                     " or ", "left", " of the ", ". ", "in total "]),
)  # fmt: skip


QUESTIONS = st.sampled_from(
    ["", "How many apples does Tom have?", "How much is 12 and 3?", "Tom has 12 apples. How many does he not eat?"]
)


@given(st.lists(TOKENS, max_size=40).map("".join), st.sampled_from(AnswerKind), st.booleans(), QUESTIONS)
def test_no_text_makes_the_reader_raise(text, kind, truncated, question):
    read_answer(text, kind, truncated=truncated, options=("Tom",), question=question)


@given(st.text(max_size=60), st.lists(TOKENS, max_size=20).map("".join))
def test_no_question_makes_the_reader_raise(question, text):
    read_answer(text, NUMBER, question=question)


@pytest.mark.parametrize(
    "unit",
    ["1 ", "1-", "\n*", "1,0", "(1 ", "1 2/", "\\boxed{", "\\text{", "=1", "one ", "answer is ", "1 111 ", "#", "$"],
)
def test_long_repetitive_text_is_read_in_bounded_time(unit):
    started = time.process_time()
    read_answer(unit * (4000 // len(unit)), NUMBER)
    assert time.process_time() - started < 5


def test_a_reasoning_tag_at_the_end_of_a_prompt_is_found():
    assert opening_tag("<|im_start|>assistant\n<think>\n") == "<think>\n"
    assert opening_tag("<|im_start|>assistant\n<think>\n\n</think>\n\n") == ""
    assert opening_tag("<|im_start|>assistant\n") == ""
    assert opening_tag("") == ""
    assert (
        read(opening_tag("…<think>\n") + "5 + 7 = 12. The answer is 12. But wait", truncated=True) is Reading.TRUNCATED
    )


# ---------------------------------------------------------------------- with the question


def asked(question, text):
    found = read_answer(text, NUMBER, question=question)
    return found.answer if found.reading is Reading.FOUND else found.reading


BOOKS = "Each shelf holds 12 books. How many books do 5 shelves hold?"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("60 books can be held by 5 shelves if each holds 12.", "60"), ("5 shelves x 12 books = 60 books, about 12 a shelf", "60"),
     ("Number of books: 60. Each shelf holds 12 books.", "60"), ("12 books.", "12"),
     ("So there are 60 books. That is what you have if you had 5 shelves.", "60"),
     ("We have 5 shelves. Each shelf holds 12 books.", Reading.NOTHING), ("The shelves hold 5 x 12 books.", Reading.NOTHING)],
)  # fmt: skip
def test_the_question_s_own_numbers_are_no_results(text, answer):
    assert asked(BOOKS, text) == answer


def test_what_is_asked_for_decides_between_several_numbers():
    more = "Ana read 48 pages on Monday and 35 on Tuesday. How many more pages did she read on Monday?"
    assert asked(more, "Ana read 48 pages on Monday, which is 13 pages more than on Tuesday.") == "13"
    children = "There are 7 boys and twice as many girls. How many children are there?"
    assert asked(children, "There are 7 boys and 14 girls.") is Reading.NOTHING
    assert asked(children, "There are 21 children: 7 boys and 14 girls.") == "21"
    walk = "There are 30 students. 12 of them walk to school. How many do not walk?"
    assert asked(walk, "18 students do not walk to school.") == "18"


def test_a_marked_word_that_is_no_choice_is_an_answer_and_not_the_right_one():
    assert read("#### Maya", CHOICE, options=("Rosa", "Tom")) == "Maya"
    assert read("It was Maya.", CHOICE, options=("Rosa", "Tom")) is Reading.NOTHING
