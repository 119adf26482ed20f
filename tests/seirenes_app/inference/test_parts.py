"""Facts about the worker's parts that need no process: drawing, text, spans, chat templates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.inference.batching import Detokenizer
from seirenes_app.inference.sampling import BadLogits, draw, log_softmax, stream_of
from seirenes_app.inference.scoring import spans_of

LOGITS = np.log(np.array([[0.5, 0.3, 0.15, 0.05]], np.float32)) + 3


def draws(n=20_000, **settings):
    return draw(np.repeat(LOGITS, n, 0), stream_of(1, 0).random(n), **settings)


def shares(drawn):
    return np.bincount(drawn.tokens, minlength=4) / len(drawn.tokens)


def test_tokens_are_drawn_as_often_as_the_model_says():
    assert shares(draws()) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=5 * math.sqrt(0.25 / 20_000))


def test_temperature_sharpens_and_zero_is_greedy():
    expected = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    assert shares(draws(temperature=0.5)) == pytest.approx(expected / expected.sum(), abs=0.02)
    assert set(draws(temperature=0.0).tokens) == {0}


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, 1), (0.6, 2), (0.81, 3), (0.999, 4), (1.0, 4)])
def test_top_p_keeps_the_smallest_set_that_holds_it(top_p, kept):
    assert set(draws(top_p=top_p).tokens) == set(range(kept))


def test_top_p_looks_past_the_first_candidates_when_the_mass_is_spread():
    flat = np.zeros((1, 5000), np.float32)
    flat[0, 4000:] = -50
    tokens = {int(draw(flat, np.array([u]), top_p=0.9).tokens[0]) for u in np.linspace(0, 0.999, 300)}
    assert max(tokens) < 4000
    assert len(tokens) == 300


@pytest.mark.parametrize(("top_k", "kept"), [(0, 4), (1, 1), (2, 2), (4, 4), (99, 4)])
def test_top_k_keeps_the_likeliest(top_k, kept):
    assert set(draws(top_k=top_k).tokens) == set(range(kept))


@pytest.mark.parametrize(("min_p", "kept"), [(0.0, 4), (0.09, 4), (0.2, 3), (0.5, 2), (0.61, 1), (1.0, 1)])
def test_min_p_keeps_what_is_at_least_that_share_of_the_likeliest(min_p, kept):
    assert set(draws(min_p=min_p).tokens) == set(range(kept))


def test_top_k_acts_before_top_p_and_min_p_after_temperature():
    # Of 0.5 and 0.3, which top-k leaves, 0.6 of the mass is in the first: 0.625. Of all four it is not.
    assert set(draws(top_k=2, top_p=0.6).tokens) == {0}
    assert set(draws(top_p=0.6).tokens) == {0, 1}
    # At temperature 2 the shares are nearer to each other: 0.05 has 0.32 of the likeliest one's.
    assert set(draws(temperature=2.0, min_p=0.3).tokens) == {0, 1, 2, 3}
    assert set(draws(min_p=0.3).tokens) == {0, 1}


def test_a_repetition_penalty_counts_a_token_once_and_lowers_either_sign():
    logits = np.array([[2.0, 1.9, -1.0, -1.1]], np.float32)
    greedy = {"temperature": 0.0, "repetition_penalty": 1.5}
    assert draw(logits, np.zeros(1), **greedy, recent=[[3, 3]]).tokens.tolist() == [0]
    assert draw(logits, np.zeros(1), **greedy, recent=[[0, 0, 0]]).tokens.tolist() == [1]
    drawn = draw(logits[:, 2:], np.zeros(1), **greedy, recent=[[0]])
    assert drawn.tokens.tolist() == [1]
    assert drawn.logprobs == pytest.approx(log_softmax(logits[:, 2:])[:, 1])
    both = draw(np.repeat(logits, 2, 0), np.zeros(2), **greedy, recent=[[0], []])
    assert both.tokens.tolist() == [1, 0]
    assert logits[0, 0] == 2.0


def test_logprobs_are_the_models_own_whatever_the_settings():
    cut = {"top_k": 2, "min_p": 0.1, "repetition_penalty": 1.3, "recent": [[0, 2]] * 50}
    for settings in ({}, {"temperature": 0.3}, {"top_p": 0.5}, {"temperature": 0.0}, cut):
        drawn = draws(50, **settings)
        assert drawn.logprobs == pytest.approx(np.log([0.5, 0.3, 0.15, 0.05])[drawn.tokens], abs=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_an_impossible_token_is_never_drawn(temperature, uniform):
    logits = np.array([[-200, 1, 0.5, -np.inf]], np.float32)
    assert draw(logits, np.array([uniform]), temperature=temperature).tokens[0] in (1, 2)


def test_nan_is_refused():
    with pytest.raises(BadLogits):
        draw(np.full((1, 3), np.nan, np.float32), np.zeros(1))
    with pytest.raises(BadLogits):
        log_softmax(np.full((1, 3), -np.inf, np.float32))


def test_streams_differ_by_seed_and_by_sample_and_repeat():
    firsts = [tuple(stream_of(seed, index).random(4)) for seed in (0, 1, 2**62) for index in (0, 1, 255)]
    assert len(set(firsts)) == 9
    assert tuple(stream_of(1, 0).random(4)) in firsts


def fed(data, stops=(), size=1):
    stream = Detokenizer(stops)
    shown = [stream.feed(data[i : i + size]) for i in range(0, len(data), size)]
    shown.append(stream.finish())
    assert "".join(shown) == stream.text
    return stream, shown


@given(st.text(), st.integers(1, 5))
def test_any_text_comes_out_whole_and_never_half_a_character(text, size):
    stream, shown = fed(text.encode(), (), size)
    assert stream.text == text
    assert sum(part.count("�") for part in shown) == text.count("�")


@given(st.text("ab#", max_size=30), st.lists(st.text("ab#", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop_string_and_shows_none_of_it(text, stops):
    stream, _ = fed(text.encode(), tuple(stops))
    cuts = [text[: i + 1] for i in range(len(text)) if any(text[: i + 1].endswith(s) for s in stops)]
    assert stream.stopped == bool(cuts)
    if cuts:
        # The first one complete ends it; it is cut where the earliest of those that are complete then begins.
        assert stream.text == min((cuts[0][: cuts[0].find(s)] for s in stops if s in cuts[0]), key=len)
    else:
        assert stream.text == text


def test_invalid_and_unfinished_bytes_become_replacement_characters():
    assert fed(b"a\xffb")[0].text == "a�b"
    assert fed("é".encode()[:1])[0].text == "�"


@given(st.text(max_size=20), st.integers(1, 4))
def test_spans_cut_the_text(text, size):
    data = text.encode()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    whole, spans = spans_of(pieces)
    assert whole == text
    for (_, start, end, first, after), piece in zip(spans, pieces, strict=True):
        assert data[start:end] == piece
        assert piece in text[first:after].encode()
        assert len(text[first:after]) <= len(piece)


def test_invalid_bytes_in_pieces_still_have_spans():
    whole, spans = spans_of([b"a\xff", b"b"])
    assert whole == "a�b"
    assert [s[3:] for s in spans] == [(0, 2), (2, 3)]
