"""Facts about a real worker with the bundled model: samples, scores, cancelling, files that cannot be used."""

import threading

import pytest
from helpers.gguf_files import gguf_bytes, model_values, write_adapter

from seirenes_app.inference.client import RequestFailed
from seirenes_app.inference.protocol import (
    BatchRequest,
    Chunk,
    Done,
    ErrorKind,
    Finish,
    Loading,
    LoadRequest,
    LoraRequest,
    Message,
    Progress,
    Ready,
    RenderRequest,
    SampleDone,
    SampleRequest,
    ScoreRequest,
    Started,
)
from seirenes_app.inference.session import whole_blocks

PATIENCE_S = 120
WIDTH, QUERIES = 192, 192
PLAIN = "<|user|>Tom has 5 apples"


def sampled(client, **settings):
    return client.send(SampleRequest(**settings)).result(PATIENCE_S)


def texts(answer):
    return [s.text for s in answer.samples]


def failure(pending):
    with pytest.raises(RequestFailed) as caught:
        pending.result(PATIENCE_S)
    return caught.value.error


def test_the_model_solves_a_problem_greedily(shared, question):
    answer = sampled(shared, messages=question, temperature=0.0)
    (only,) = answer.samples
    assert only.text.endswith("12")
    assert only.finish is Finish.STOP
    assert answer.done.prompt_tokens == 25
    assert answer.done.generated_tokens == only.tokens + 1


def test_a_prompt_is_rendered_as_the_model_gets_it(shared, question):
    rendered = shared.send(RenderRequest(messages=question)).result(PATIENCE_S)
    assert rendered.text == f"<|user|>{question[0].content}<|assistant|>"
    assert rendered.n_tokens == sampled(shared, messages=question, max_tokens=1).done.prompt_tokens
    assert [rendered.text[a:b] for a, b in rendered.content_spans] == [question[0].content]
    assert rendered.note == ""


def test_special_tokens_written_in_a_message_stay_text(shared):
    def tokens(text):
        return shared.send(RenderRequest(messages=(Message("user", text),))).result(PATIENCE_S).n_tokens

    plain = tokens("a b")
    for special in ("<|end|>", "<|user|>", "<|assistant|>", "<|pad|>"):
        assert tokens(f"a {special} b") > plain + 1
    assert tokens("a <|endless|> b") > plain + 1


def test_samples_stream_in_chunks_that_make_up_their_texts(shared, question):
    events = []
    request = SampleRequest(messages=question, n=6, max_tokens=120, temperature=100.0, seed=3)
    answer = shared.send(request, events.append).result(PATIENCE_S)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Done)
    for done in answer.samples:
        mine = [e for e in events if isinstance(e, Chunk | SampleDone) and e.index == done.index]
        assert mine[-1] == done
        assert len(mine) > 2
        assert "".join(e.text for e in mine[:-1]) == done.text
        assert (done.tokens, done.finish) == (120, Finish.LENGTH)


def test_samples_after_an_open_reasoning_tag_begin_with_it(shared):
    events = []
    pending = shared.send(SampleRequest(prompt=f"{PLAIN}<think>\n", n=2, max_tokens=4), events.append)
    answer = pending.result(PATIENCE_S)
    assert all(text.startswith("<think>\n") for text in texts(answer))
    for sample in answer.samples:
        chunks = "".join(e.text for e in events if isinstance(e, Chunk) and e.index == sample.index)
        assert chunks == sample.text
    scored = shared.send(ScoreRequest(prompt=f"{PLAIN}<think>\n", completion="<think>\n12")).result(PATIENCE_S)
    assert scored.text == "12", "the tag is the prompt's"


def test_the_same_seed_gives_the_same_samples_and_another_seed_others(shared):
    request = {"prompt": PLAIN, "n": 8, "max_tokens": 12, "temperature": 100.0}
    first = texts(sampled(shared, **request, seed=7))
    assert texts(sampled(shared, **request, seed=7)) == first
    other = texts(sampled(shared, **request, seed=8))
    assert len({*first, *other}) == 16


def test_a_sample_is_the_same_alone_and_among_others(shared, question):
    greedy = {"messages": question, "temperature": 0.0}
    alone = texts(sampled(shared, **greedy))
    assert texts(sampled(shared, **greedy, n=16)) == alone * 16
    drawn = {"prompt": PLAIN, "max_tokens": 12, "seed": 5, "temperature": 100.0}
    assert texts(sampled(shared, **drawn, n=40))[:3] == texts(sampled(shared, **drawn, n=3))


def test_more_samples_than_seats_all_arrive_and_differ(shared):
    answer = sampled(shared, prompt=PLAIN, n=100, max_tokens=12)
    assert [s.index for s in answer.samples] == list(range(100))
    assert len(set(texts(answer))) > 90


def test_a_tight_cache_makes_waves(start):
    client = start(n_ctx=24)
    answer = client.send(SampleRequest(prompt=PLAIN, n=20, max_tokens=500, temperature=100.0)).result(PATIENCE_S)
    # At this temperature an end token comes now and then.
    full = [s for s in answer.samples if s.finish is Finish.LENGTH]
    assert {s.tokens for s in full} == {24 - answer.done.prompt_tokens}
    assert len(full) > 15


def test_logprobs_equal_the_scores_of_the_same_tokens(shared, question):
    answer = sampled(shared, messages=question, n=3, temperature=0.0, logprobs=True)
    for one in answer.samples:
        scored = shared.send(ScoreRequest(messages=question, completion=one.text)).result(PATIENCE_S)
        assert scored.text == one.text
        assert [t.logprob for t in scored.tokens] == pytest.approx(one.logprobs, abs=0.02)
        assert one.logprob_sum == pytest.approx(sum(one.logprobs))
        assert one.logprob_mean == pytest.approx(one.logprob_sum / one.tokens)


def test_logprobs_do_not_depend_on_temperature(shared):
    for temperature in (0.5, 2.0):
        (one,) = sampled(shared, prompt=PLAIN, max_tokens=4, temperature=temperature, logprobs=True, seed=2).samples
        scored = shared.send(ScoreRequest(prompt=PLAIN, completion=one.text)).result(PATIENCE_S)
        if len(scored.tokens) == one.tokens:
            assert [t.logprob for t in scored.tokens] == pytest.approx(one.logprobs, abs=0.02)


def test_a_score_has_spans_and_alternatives_in_order(shared, question):
    completion = "5 + 7 = 12.\n#### 12 é→"
    scored = shared.send(ScoreRequest(messages=question, completion=completion, top_k=4)).result(PATIENCE_S)
    assert scored.text == completion
    assert scored.logprob_sum == pytest.approx(sum(t.logprob for t in scored.tokens))
    for token in scored.tokens:
        assert completion.encode()[token.byte_start : token.byte_end].decode("utf-8", "replace") == token.text
        values = [a.logprob for a in token.top]
        assert len(values) == 4
        assert values == sorted(values, reverse=True)
        assert token.logprob <= values[0] + 1e-6
    assert scored.tokens[0].top[0].text == "5"


def test_a_long_completion_is_scored_in_parts_as_in_one(shared):
    # Longer than the rows that are read at once; its beginning must not notice.
    long = " ".join(str(i) for i in range(90))
    scored = shared.send(ScoreRequest(prompt=PLAIN, completion=long)).result(PATIENCE_S)
    assert len(scored.tokens) > 130
    short = shared.send(ScoreRequest(prompt=PLAIN, completion=long[:40])).result(PATIENCE_S)
    n = len(short.tokens) - 2
    assert [t.logprob for t in scored.tokens[:n]] == pytest.approx([t.logprob for t in short.tokens[:n]], abs=0.02)


def test_a_shared_prefix_is_kept_and_changes_nothing(shared, question):
    greedy = {"messages": question, "temperature": 0.0, "logprobs": True}
    first = sampled(shared, **greedy)
    sampled(shared, prompt="Something else entirely.", max_tokens=3)
    fresh, again = sampled(shared, **greedy), sampled(shared, **greedy)
    assert fresh.done.cached_tokens == 0
    assert again.done.cached_tokens == whole_blocks(again.done.prompt_tokens - 1)
    longer = (Message("user", f"{question[0].content} {question[0].content}"),)
    sampled(shared, messages=longer, max_tokens=2)
    hinted = (Message("user", longer[0].content + " Tom is 9."),)
    assert 10 < sampled(shared, messages=hinted, max_tokens=2).done.cached_tokens < 2 * first.done.prompt_tokens
    for answer in (fresh, again):
        assert texts(answer) == texts(first)
        assert answer.samples[0].logprobs == first.samples[0].logprobs


def test_stop_strings_never_leak(shared, question):
    events = []
    request = SampleRequest(messages=question, n=4, temperature=0.0, stop=("12.\n####", "zzz"))
    answer = shared.send(request, events.append).result(PATIENCE_S)
    assert texts(answer) == ["5 + 7 = "] * 4
    assert {s.finish for s in answer.samples} == {Finish.STOP}
    for index in range(4):
        assert "".join(e.text for e in events if isinstance(e, Chunk) and e.index == index) == "5 + 7 = "


def test_any_text_goes_in_and_comes_out_as_whole_characters(shared):
    # At this temperature the byte tokens come often, in all orders.
    events = []
    prompt = "naïve → 苹果 🍎 \x00 \ud800"
    request = SampleRequest(prompt=prompt, n=8, max_tokens=60, temperature=50.0, seed=1)
    answer = shared.send(request, events.append).result(PATIENCE_S)
    assert any("�" in text for text in texts(answer))
    for done in answer.samples:
        assert "".join(e.text for e in events if isinstance(e, Chunk) and e.index == done.index) == done.text


def test_the_template_writes_the_prompt(shared, question):
    plain = f"<|user|>{question[0].content}<|assistant|>"
    by_template, by_hand = ({"messages": question}, {"prompt": plain})
    first, second = (sampled(shared, **asked, temperature=0.0) for asked in (by_template, by_hand))
    assert texts(first) == texts(second)
    assert first.done.prompt_tokens == second.done.prompt_tokens


def test_cancel_in_mid_decode_keeps_the_text_so_far(shared):
    streaming = threading.Event()
    request = SampleRequest(prompt=PLAIN, n=100, max_tokens=400, temperature=100.0)
    pending = shared.send(request, lambda e: isinstance(e, Chunk) and streaming.set())
    assert streaming.wait(PATIENCE_S)
    pending.cancel()
    answer = pending.result(PATIENCE_S)
    assert answer.done.cancelled
    assert len(answer.samples) == 100
    assert answer.samples[0].finish is Finish.CANCELLED
    assert answer.samples[0].text
    assert answer.samples[99].text == ""
    assert sampled(shared, prompt=PLAIN, max_tokens=3).done.cancelled is False


def test_a_request_cancelled_before_its_turn_never_begins(shared):
    first = shared.send(SampleRequest(prompt=PLAIN, n=256, max_tokens=450, temperature=100.0))
    waiting = shared.send(SampleRequest(prompt=PLAIN, n=2))
    scoring = shared.send(ScoreRequest(prompt=PLAIN, completion="5"))
    waiting.cancel()
    scoring.cancel()
    assert not first.finished
    first.cancel()
    assert [s.text for s in waiting.result(PATIENCE_S).samples] == ["", ""]
    assert failure(scoring).kind is ErrorKind.CANCELLED
    assert first.result(PATIENCE_S).done.cancelled


def test_cancel_in_mid_prefill_ends_the_decode(model):
    # In this process, because a small model's prefill is too short to be met from outside: the flag goes up while it is
    # read for the tenth time.
    from seirenes_app.inference.llama_bindings import Aborted, CancelFlag, LlamaModel, llama, start_llama

    class Counted(CancelFlag):
        def __init__(self):
            super().__init__()
            self.reads, self.last = 0, None
            self.callback = llama.ggml_abort_callback(self.read)

        def read(self, _data):
            self.reads += 1
            if self.reads == self.last:
                self.set()
            return bool(self)

    start_llama()
    cancel = Counted()
    native = LlamaModel(model, cancel, lambda _: None)
    native.make_context(512, 1, 1, shared=True)
    rows = ([5] * 512, range(512), [0] * 512, [False] * 512)
    native.decode(*rows)
    whole, cancel.reads, cancel.last = cancel.reads, 0, 10
    native.clear()
    with pytest.raises(Aborted):
        native.decode(*rows)
    assert cancel.reads < whole / 2
    cancel.clear()
    native.clear()
    native.decode(*rows)
    native.close()


# ---------------------------------------------------------------------- many prompts at once

STORIES = ("Tom has {a} apples and buys {b} more.", "Mia has {a} pens. She gives {b} of them to Ben.")
ADDED = ("", " Ben likes music.", " It could be {b}.", " The shop opens at {a}.")


def many_prompts(count, **settings):
    """Requests like those of an evaluation: neighbours share a story and differ in what is added to it."""
    found = []
    for number in range(count):
        numbers = {"a": 12 + number // 4, "b": 2 + number // 4 % 7}
        story, added = STORIES[number // 4 % 2], ADDED[number % 4]
        text = f"{story} How many are left?{added}".format(**numbers)
        found.append(SampleRequest(messages=(Message("user", text),), seed=number, **settings))
    return tuple(found)


def batched(client, requests, on_event=None, **how):
    return client.send(BatchRequest(requests=requests, **how), on_event).result(PATIENCE_S)


def test_a_batch_answers_greedily_what_each_prompt_alone_answers(shared):
    requests = many_prompts(48, temperature=0.0, max_tokens=64, logprobs=True)
    alone = [shared.send(r).result(PATIENCE_S).samples[0] for r in requests]
    together = batched(shared, requests).samples
    assert [s.index for s in together] == list(range(48))
    # Beside other rows sums are rounded in another order, which decides between tokens that are nearly equal.
    assert sum(a.text != b.text for a, b in zip(alone, together, strict=True)) <= 1
    for a, b in zip(alone, together, strict=True):
        if a.text == b.text:
            assert b.logprobs == pytest.approx(a.logprobs, abs=0.02)
            assert b.finish == a.finish


def test_an_exact_batch_answers_to_the_bit_what_each_prompt_alone_answers(shared):
    requests = many_prompts(12, temperature=0.0, max_tokens=24, logprobs=True)
    alone = [shared.send(r).result(PATIENCE_S).samples[0] for r in reversed(requests)][::-1]
    together = batched(shared, requests, exact=True).samples
    assert [(s.text, s.logprobs, s.finish) for s in together] == [(s.text, s.logprobs, s.finish) for s in alone]


def test_a_batch_draws_for_each_seed_what_the_prompt_alone_draws(shared):
    requests = many_prompts(40, n=2, temperature=1.0, max_tokens=48)
    alone = [s.text for r in requests for s in shared.send(r).result(PATIENCE_S).samples]
    together = texts(batched(shared, requests))
    same = sum(a == b for a, b in zip(alone, together, strict=True))
    assert same >= 0.95 * len(alone)
    assert texts(batched(shared, requests)) == together


def test_a_batch_streams_no_text_and_reports_how_far_it_is(shared):
    events = []
    answer = batched(shared, many_prompts(40, temperature=100.0, max_tokens=100), events.append)
    assert not any(isinstance(e, Chunk) for e in events)
    progress = [e for e in events if isinstance(e, Progress)]
    assert [e.tokens for e in progress] == sorted({e.tokens for e in progress})
    assert progress[0].tokens < answer.done.generated_tokens
    assert len(answer.samples) == 40


def test_prompts_that_begin_alike_are_computed_once(shared):
    shared.send(LoraRequest()).result(PATIENCE_S)
    answer = batched(shared, many_prompts(16, temperature=0.0, max_tokens=8))
    assert answer.done.cached_tokens > answer.done.prompt_tokens / 2


def test_a_prompt_that_does_not_fit_ends_alone(shared):
    fits = many_prompts(3, temperature=0.0, max_tokens=48)
    long = SampleRequest(messages=(Message("user", "7 " * 700),), n=2, temperature=0.0, max_tokens=48)
    answer = batched(shared, (fits[0], long, *fits[1:]))
    assert [s.finish is Finish.TOO_LONG for s in answer.samples] == [False, True, True, False, False]
    assert {s.text for s in answer.samples[1:3]} == {""}
    assert texts(answer)[0] == texts(sampled(shared, messages=fits[0].messages, temperature=0.0, max_tokens=48))[0]
    only = batched(shared, (long,))
    assert [s.finish for s in only.samples] == [Finish.TOO_LONG] * 2


@pytest.fixture(scope="module")
def here(model):
    """Makes sessions in this process: `cells` is how many the cache holds, for all sequences together."""
    from seirenes_app.inference import session as module
    from seirenes_app.inference.llama_bindings import CancelFlag, start_llama

    start_llama()
    made = []

    def make(cells):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_CACHE_BYTES", 0)
            found = module.Session(LoadRequest(model=str(model), threads=1, n_ctx=cells), CancelFlag(), lambda _: None)
        made.append(found)
        return found

    yield make
    for session in made:
        session.close()


def answer_here(session, request):
    from seirenes_app.inference.batching import Sampler

    events = []
    sampler = Sampler(session, request, lambda *given: events.extend(given))
    sampler.run()
    return sampler, {e.index: e for e in events if isinstance(e, SampleDone)}


def test_a_cache_that_cannot_hold_all_rows_has_fewer_and_the_same_answers(here, shared):
    requests = many_prompts(24, temperature=0.0, max_tokens=48)
    session = here(512)
    assert session.shared_cells
    sampler, found = answer_here(session, BatchRequest(requests=requests))
    assert 1 < sampler._n_sequences < 8
    assert sorted(found) == list(range(24))
    together = texts(batched(shared, requests))
    assert sum(found[i].text != text for i, text in enumerate(together)) <= 1
    # Of one prompt the beginning is held once, so that more rows fit.
    one, _ = answer_here(session, SampleRequest(messages=requests[0].messages, n=24, max_tokens=48))
    assert one._n_sequences > sampler._n_sequences


def test_a_cache_for_one_row_answers_one_after_another(here):
    sampler, found = answer_here(here(128), BatchRequest(requests=many_prompts(4, temperature=0.0, max_tokens=100)))
    assert sampler._n_sequences == 1
    assert all(found[i].text for i in range(4))


def test_a_stop_string_and_a_penalty_act_in_a_batch_as_alone(shared):
    settings = {"temperature": 0.0, "max_tokens": 48, "stop": ("####",), "repetition_penalty": 8.0, "top_k": 5}
    requests = many_prompts(6, **settings)
    alone = [texts(shared.send(r).result(PATIENCE_S))[0] for r in requests]
    together = batched(shared, requests).samples
    assert sum(a != b.text for a, b in zip(alone, together, strict=True)) <= 1
    assert not any("####" in s.text for s in together)
    plain = texts(batched(shared, many_prompts(6, temperature=0.0, max_tokens=48)))
    assert alone != [text.split("####")[0] for text in plain]


def test_a_cancelled_batch_keeps_what_there_is(shared):
    begun = threading.Event()
    pending = shared.send(
        BatchRequest(requests=many_prompts(200, temperature=100.0, max_tokens=300)),
        lambda e: isinstance(e, Progress) and begun.set(),
    )
    assert begun.wait(PATIENCE_S)
    pending.cancel()
    answer = pending.result(PATIENCE_S)
    assert answer.done.cancelled
    assert len(answer.samples) == 200
    assert answer.samples[-1].finish is Finish.CANCELLED
    assert not sampled(shared, prompt=PLAIN, max_tokens=3).done.cancelled


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(shared):
    error = failure(shared.send(SampleRequest(prompt="7 " * 700)))
    assert error.kind is ErrorKind.TOO_LONG
    assert "512" in error.message
    assert any(int(word) > 700 for word in error.message.split() if word.isdigit())
    error = failure(shared.send(ScoreRequest(prompt=PLAIN, completion="7 " * 700)))
    assert error.kind is ErrorKind.TOO_LONG
    assert "512" in error.sentence


def test_requests_made_while_loading_wait_for_the_model(start, model):
    client = start(load=False)
    loading = client.load(model, threads=1)
    asked = [client.send(SampleRequest(prompt=PLAIN, max_tokens=4, seed=i)) for i in range(3)]
    assert all(len(t.result(PATIENCE_S).samples) == 1 for t in asked)
    assert loading.finished


def test_loading_tells_its_progress_and_the_models_facts(start, model):
    client, events = start(load=False), []
    ready = client.load(model, threads=1, n_ctx=100_000, on_event=events.append).result(PATIENCE_S)
    progress = [e.progress for e in events if isinstance(e, Loading)]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0.0, 1.0)
    assert isinstance(events[-1], Ready)
    facts = ready.facts
    assert (facts.architecture, facts.n_vocab, facts.n_ctx, facts.n_ctx_train) == ("qwen3", 1536, 512, 512)
    assert facts.has_chat_template
    assert facts.n_params == 2_066_368


def broken_files(model, folder):
    whole = model.read_bytes()
    made = {
        "cut short": whole[: len(whole) // 2],
        "is empty": b"",
        "not a GGUF": bytes(range(256)) * 40,
        "unknown model architecture: 'qwenX'": whole.replace(b"qwen3", b"qwenX"),
        "unknown tokenizer": whole.replace(b"gpt2", b"gptX"),
        "lacks": whole.replace(b"qwen3.block_count", b"qwen3.black_count"),
        "cannot load": gguf_bytes(model_values(), {}) + bytes(64),
        "cannot be read": None,
    }
    for words, data in made.items():
        path = folder / f"{len(words)}.gguf"
        if data is not None:
            path.write_bytes(data)
        yield words, path


def test_a_file_that_cannot_be_used_is_refused_and_the_worker_lives_on(start, model, tmp_path):
    client = start(load=False)
    pid = None
    for words, path in broken_files(model, tmp_path):
        error = failure(client.load(path))
        assert error.kind is ErrorKind.BAD_MODEL
        assert words in error.message or (words == "cannot load" and "no weights" in error.message)
        assert path.name in error.message
        assert pid in (None, client.pid)
        pid = client.pid
        assert failure(client.send(SampleRequest(prompt="a"))).kind is ErrorKind.NO_MODEL
    client.load(model, threads=1).result(PATIENCE_S)
    assert client.pid == pid


def score_of(client):
    return client.send(ScoreRequest(prompt=PLAIN, completion=" and buys")).result(PATIENCE_S).logprob_sum


def test_an_adapter_changes_the_model_until_it_is_taken_off(start, tmp_path):
    client = start()
    plain = score_of(client)
    adapter = write_adapter(tmp_path / "a.gguf", WIDTH, QUERIES)
    client.send(LoraRequest(lora=str(adapter))).result(PATIENCE_S)
    full = score_of(client)
    client.send(LoraRequest(lora=str(adapter), scale=0.25)).result(PATIENCE_S)
    part = score_of(client)
    client.send(LoraRequest()).result(PATIENCE_S)
    assert score_of(client) == pytest.approx(plain, abs=0.01)
    assert abs(full - plain) > 0.05
    assert abs(part - full) > 0.02


def test_a_bad_adapter_is_refused_and_the_model_goes_on_without(start, model, tmp_path):
    client = start()
    plain, pid = score_of(client), client.pid
    (tmp_path / "noise.gguf").write_bytes(b"GGUF" + bytes(range(200)))
    bad = {
        write_adapter(tmp_path / "wide.gguf", 64, QUERIES): "does not fit",
        write_adapter(tmp_path / "llama.gguf", WIDTH, QUERIES, "llama"): "made for a llama model",
        model: "no LoRA adapter",
        tmp_path / "noise.gguf": "version",
        tmp_path / "none.gguf": "cannot be read",
    }
    for path, words in bad.items():
        error = failure(client.send(LoraRequest(lora=str(path))))
        assert error.kind is ErrorKind.BAD_LORA
        assert words in error.message
        assert path.name in error.message
    assert score_of(client) == pytest.approx(plain, abs=0.01)
    assert client.pid == pid
