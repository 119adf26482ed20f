import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.attribution.sentence_ablation import split_sentences


def cut(text):
    return [s.of(text) for s in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n\t", []),
        ("No end", ["No end"]),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("12 + 7 = 19. 19 + 5 = 24.\n#### 24", ["12 + 7 = 19.", "19 + 5 = 24.", "#### 24"]),
        ("It has 3.5 kg. It has .5 kg and $1.25.", ["It has 3.5 kg.", "It has .5 kg and $1.25."]),
        ("Mr. Smith met Dr. Who. Both left.", ["Mr. Smith met Dr. Who.", "Both left."]),
        ("He left at 5 p.m. He ran approx. 3 km.", ["He left at 5 p.m.", "He ran approx. 3 km."]),
        ("He left at 5 p.m. and ran.", ["He left at 5 p.m. and ran."]),
        ("Take No. 5 first. Is it? No. It is 6.", ["Take No. 5 first.", "Is it?", "No.", "It is 6."]),
        ("Use a cue, e.g. Tuesday. Go on.", ["Use a cue, e.g. Tuesday.", "Go on."]),
        ("John F. Kennedy spoke. I did. So did I. Then we left.",
         ["John F. Kennedy spoke.", "I did.", "So did I.", "Then we left."]),
        ("A is taller than B. C is the shortest.", ["A is taller than B.", "C is the shortest."]),
        ('"How many?" asked Tom. He said "go." Then he left.', ['"How many?" asked Tom.', 'He said "go."', "Then he left."]),
        ("Wait... what? Wow!! (It rained.) End.", ["Wait... what?", "Wow!!", "(It rained.)", "End."]),
        ("1. Add 3.\n2) Take 4. Done.", ["1. Add 3.", "2) Take 4.", "Done."]),
        ("A line\nanother line", ["A line", "another line"]),
        ("多少？五个。好", ["多少？", "五个。", "好"]),
        ("He has 5 apples. she has 3.", ["He has 5 apples.", "she has 3."]),
    ],
)  # fmt: skip
def test_sentences(text, sentences):
    assert cut(text) == sentences


@given(st.text() | st.text("ab A.!?…\n \"')1,。", max_size=60))
def test_the_spans_are_in_order_and_hold_all_but_spaces(text):
    spans = split_sentences(text)
    assert all(a.end <= b.start for a, b in zip(spans, spans[1:], strict=False))
    outside = list(text)
    for span in spans:
        piece = span.of(text)
        assert piece == piece.strip()
        assert piece
        outside[span.start : span.end] = " " * len(piece)
    assert not "".join(outside).strip()
