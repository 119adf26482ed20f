"""Facts about the protocol: what goes in comes out, what is unknown is skipped, what is wrong is named."""

import contextlib
import dataclasses
import json
import types
import typing
from enum import StrEnum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.inference.protocol import (
    BatchRequest,
    CancelRequest,
    Chunk,
    Error,
    ErrorKind,
    Event,
    LoadRequest,
    Message,
    ProtocolError,
    Request,
    SampleRequest,
    ScoreRequest,
    decode_event,
    decode_request,
    encode,
)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
samples = st.builds(
    SampleRequest, messages=st.lists(st.builds(Message, st.text(), st.text()), min_size=1).map(tuple), prompt=st.just(""),
    n=st.integers(1, 256), max_tokens=st.integers(1, 10**6), temperature=st.floats(0, 100),
    top_p=st.floats(0, 1, exclude_min=True), seed=st.integers(0, 2**63 - 1),
    stop=st.lists(st.text(min_size=1)).map(tuple), logprobs=st.booleans(), id=INTEGERS,
    template_variables=st.dictionaries(st.text(), st.none() | st.booleans() | st.text() | INTEGERS),
)  # fmt: skip


def values_of(hint):
    """A strategy for any event's field."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = next(h for h in typing.get_args(hint) if h is not type(None))
        return st.none() | values_of(inner)
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[-1] is not Ellipsis:
        return st.tuples(*map(values_of, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return st.lists(values_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if dataclasses.is_dataclass(hint) or issubclass(hint, msgspec.Struct):
        return st.builds(hint, **{k: values_of(h) for k, h in typing.get_type_hints(hint).items()})
    if issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    return {int: INTEGERS, float: finite, str: st.text(), bool: st.booleans()}[hint]


@given(samples)
def test_a_sample_request_survives_the_wire(request):
    assert decode_request(encode(request)) == request


@given(st.one_of([values_of(kind) for kind in typing.get_args(Event)]))
def test_every_event_survives_the_wire_as_one_line(event):
    line = encode(event)
    assert line.count(b"\n") == 1
    assert decode_event(line) == event


@given(st.binary() | st.text())
def test_any_line_is_read_or_refused_with_words(line):
    with pytest.raises(ProtocolError):
        decode_request(line)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | finite | st.text(), lambda x: st.lists(x, max_size=3))


@given(st.sampled_from([kind.__name__ for kind in typing.get_args(Request)]), st.dictionaries(
    st.sampled_from(["id", "n", "prompt", "messages", "model", "target", "stop", "seed", "lora", "top_p"]), JSON))  # fmt: skip
def test_any_object_is_read_or_refused_with_words(kind, fields):
    line = json.dumps({"type": kind, **fields})
    # Any other exception is a bug, and fails here.
    with contextlib.suppress(ProtocolError):
        assert isinstance(decode_request(line), typing.get_args(Request))


def test_unknown_fields_are_skipped_and_missing_ones_have_their_defaults():
    line = '{"type": "LoadRequest", "model": "m.gguf", "colour": "red", "deep": {"x": [1]}}'
    assert decode_request(line) == LoadRequest("m.gguf")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"type": "dance"}', "dance"),
        ('{"type": ["QuitRequest"]}', r"\$.type"),
        ('{"type": "CancelRequest"}', "required field `target`"),
        ('{"type": "CancelRequest", "target": true}', r"Expected `int`, got `bool` - at `\$.target`"),
        ('{"type": "SampleRequest", "prompt": "a", "top_p": NaN}', "malformed"),
        ('{"type": "SampleRequest", "messages": [{"role": 1, "content": ""}]}', r"\$.messages\[0\].role"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "Expected `object`, got `array`"),
    ],
)
def test_what_is_wrong_is_named(line, words):
    with pytest.raises(ProtocolError, match=words):
        decode_request(line)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SampleRequest(),
        lambda: SampleRequest(messages=(Message("user", "a"),), prompt="b"),
        lambda: SampleRequest(prompt="a", n=0),
        lambda: SampleRequest(prompt="a", n=257),
        lambda: SampleRequest(prompt="a", max_tokens=0),
        lambda: SampleRequest(prompt="a", temperature=-0.1),
        lambda: SampleRequest(prompt="a", temperature=float("nan")),
        lambda: SampleRequest(prompt="a", top_p=0.0),
        lambda: SampleRequest(prompt="a", top_k=-1),
        lambda: SampleRequest(prompt="a", min_p=1.1),
        lambda: SampleRequest(prompt="a", repetition_penalty=0.0),
        lambda: SampleRequest(prompt="a", repetition_penalty=float("nan")),
        lambda: SampleRequest(prompt="a", seed=-1),
        lambda: SampleRequest(prompt="a", stop=("",)),
        lambda: BatchRequest(()),
        lambda: BatchRequest((SampleRequest(prompt="a"), SampleRequest(prompt="b", temperature=0.5))),
        lambda: ScoreRequest(prompt="a"),
        lambda: ScoreRequest(prompt="a", completion="b", top_k=51),
        lambda: LoadRequest(""),
    ],
)
def test_a_request_that_cannot_be_done_cannot_be_made(wrong):
    with pytest.raises(ProtocolError, match="cannot be used"):
        wrong()


def test_an_event_is_no_request_and_a_request_no_event():
    with pytest.raises(ProtocolError):
        decode_request(encode(Chunk(0, "a")))
    with pytest.raises(ProtocolError):
        decode_event(encode(CancelRequest(1)))


def test_words_and_remedy_make_one_sentence():
    assert Error(ErrorKind.FAILED, "It broke.", "Repair it.").sentence == "It broke. Repair it."
    assert Error(ErrorKind.FAILED, "It broke.").sentence == "It broke."


def test_text_that_is_not_unicode_is_sent_with_question_marks():
    assert decode_request(encode(SampleRequest(prompt="a\ud800é"))) == SampleRequest(prompt="a?é")
