"""The answer reader against completions labelled by hand; see `tests/bench/bench_answers.py` for each difference."""

from helpers.answer_labels import compare, labelled_completions, score


def test_the_reader_agrees_with_the_labels():
    total = score([compare(item) for item in labelled_completions()])
    assert total.precision >= 0.99
    assert total.recall >= 0.97


def test_the_labelled_set_is_large_and_varied():
    items = list(labelled_completions())
    assert len(items) >= 600
    assert len({item.style for item in items}) >= 8
    assert len({item.text for item in items}) == len(items)


def test_a_label_names_an_answer_exactly_where_one_is_stated():
    for item in labelled_completions():
        assert bool(item.answer) == (item.outcome in ("right", "wrong")), item.place
