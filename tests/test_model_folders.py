"""Facts about model folders of all sorts in both engines: prompts, end tokens, completions, training, export."""

from contextlib import closing

import numpy as np
import pytest
import torch
from helpers.tiny_models import TEMPLATE, change_model, save_model, session_answers

from seirenes_app.inference import sampling
from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import Chunk, Finish, Message, RenderRequest, SampleRequest, ScoreRequest
from seirenes_app.inference.sampling import draw
from training.core.answers import AnswerGrader
from training.core.chat_template import NoteKind
from training.core.types import AnswerKind, Outcome, Problem
from training.engine.base import REPETITION_WINDOW, LossParams, SamplingParams, TrainRow
from training.engine.chat_tokenizer import ChatTokenizer
from training.engine.models import bundled_starter
from training.engine.sampler import draw_tokens, restrict_logits
from training.engine.torch_local import LocalTorchBackend
from training.evaluation.torch_evaluator import sample_texts
from training.export.gguf_model import export_gguf
from training.runner import RunCallbacks, Runner
from training.runs.config import from_dict
from training.runs.control import ProcessControl
from training.runs.events import EventLog, EventTail
from training.runs.paths import new_run

PATIENCE_S = 120
QUESTION = "Mia has 2 apples and 3 pears. How many fruits are there?"
WITH_BOS = "{{ bos_token }}" + TEMPLATE
THINKING = TEMPLATE + "{% if enable_thinking is defined and not enable_thinking %}<tool>{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE

FOLDERS = {
    "sharded, head of its own": (("llama", "smollm", {"shard": "100KB"}), {}),
    "tied head, bfloat16": (("qwen3", "qwen2", {"tie_word_embeddings": True}), {"dtype": torch.bfloat16}),
    "several end tokens": (("qwen2", "qwen2", {}), {"ends": [3, 1]}),
    "no pad token": (("llama", "gpt-2", {}), {"pad": False}),
    "no template": (("llama", "llama-3", {}), {"template": None}),
    "template with a first token": (("llama", "llama-3", {}), {"template": WITH_BOS}),
    "template without the first token": (("llama", "llama-3", {}), {"template": TEMPLATE}),
    "template that refuses a system role": (("qwen3", "qwen2", {}), {"template": NO_SYSTEM}),
    "broken template": (("qwen3", "qwen2", {}), {"template": "{% for %}"}),
    "template that opens a reasoning block": (
        ("qwen2", "qwen2", {}),
        {"template": TEMPLATE + "<think>{{ '\n' }}", "special": ("<think>", "</think>")},
    ),
    "template with a variable": (("qwen3", "qwen2", {}), {"template": THINKING}),
}
CHATS = [
    [{"role": "user", "content": "Mia has 12 apples."}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " How many\napples in 2026? 東京"}],
    [{"role": "user", "content": "a <|end|> b <|start|>user <tool> <|pad|><|bos|>"}],
    [
        {"role": "user", "content": "<|end|>"},
        {"role": "assistant", "content": "<"},
        {"role": "user", "content": "|end|>"},
    ],
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder and GGUF by name, each made once."""
    root = tmp_path_factory.mktemp("folders")
    kept = {}

    def get(name):
        if name == "bundled":
            return bundled_starter(), bundled_model()
        if name not in kept:
            (kind, tokenizer, options), changes = FOLDERS[name]
            folder = change_model(save_model(root / str(len(kept)), kind, tokenizer, **options), **changes)
            kept[name] = folder, export_gguf(folder, root / f"{len(kept)}.gguf", dtype="f32")
        return kept[name]

    return get


@pytest.mark.parametrize("name", [*FOLDERS, "bundled"])
def test_both_engines_give_a_chat_the_same_tokens_and_end_at_the_same_ones(made, name):
    folder, gguf = made(name)
    codec = ChatTokenizer(folder)
    for variables in ({}, {"enable_thinking": False}) if name == "template with a variable" else ({},):
        theirs = session_answers(gguf, chats=CHATS, variables=variables)
        assert theirs["chats"] == [list(codec.encode_chat(chat, variables)) for chat in CHATS]
    # llama.cpp ends at well-known names too, such as <|endoftext|>, whoever lists them.
    assert codec.end_ids <= set(theirs["ends"])
    assert set(theirs["special"]) == codec.special_texts()
    assert theirs["note"] == codec.note.text


@pytest.mark.parametrize("name", [*FOLDERS, "bundled"])
def test_special_tokens_written_by_a_user_stay_text_in_every_folder(made, name):
    codec = ChatTokenizer(made(name)[0])
    control = {codec.tokenizer.convert_tokens_to_ids(text) for text in codec.special_texts()}

    def used(content):
        ids = codec.encode_chat([{"role": "user", "content": content}])
        assert content in codec.tokenizer.decode(ids)
        return sum(i in control for i in ids)

    plain = used("a b")
    for text in codec.special_texts():
        assert used(f"a {text} b") == plain
        assert used(text) == plain


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_sampled_trained_saved_and_reads_back(made, name, tmp_path):
    folder, _ = made(name)
    engine = LocalTorchBackend(folder, tuning="lora", device="cpu", threads=1, lora_rank=4)
    params = SamplingParams(8, 1.0, 3)
    rows = [
        TrainRow(prompt, c.tokens, c.logprobs, advantage)
        for prompt in map(engine.codec.encode_chat, CHATS)
        for c, advantage in zip(engine.sample([prompt], 2, params)[0], (1.0, -1.0), strict=True)
    ]
    stats = engine.forward_backward(rows, LossParams())
    # The trainer reads these log-probabilities in another order of operations, in the folder's number type.
    assert stats.logprob_gap_max < (0.1 if engine.dtype is torch.bfloat16 else 1e-3)
    assert not engine.optim_step().skipped
    engine.save(tmp_path / "adapter")
    again = LocalTorchBackend(tmp_path / "adapter", device="cpu", threads=1)
    assert again.codec.encode_chat(CHATS[1]) == engine.codec.encode_chat(CHATS[1])
    assert sample_texts(again, CHATS, 1, SamplingParams(8, 0.0)) == sample_texts(
        engine, CHATS, 1, SamplingParams(8, 0.0)
    )


def test_a_base_model_is_asked_in_plain_lines_and_ends_where_the_user_would_speak(made):
    folder, gguf = made("no template")
    engine = LocalTorchBackend(folder, device="cpu", threads=1)
    assert engine.codec.note.kind is NoteKind.MISSING
    assert engine.codec.stops == ("\nUser:",)
    text = engine.codec.tokenizer.decode(engine.codec.encode_chat(CHATS[0]))
    assert text == "<|bos|>User: Mia has 12 apples.\nAssistant:"
    with WorkerClient() as client:
        ready = client.load(gguf, threads=1).result(PATIENCE_S)
        assert "no chat template" in ready.facts.template_note
        rendered = client.send(RenderRequest(messages=(Message(**CHATS[0][0]),))).result(PATIENCE_S)
    assert rendered.text == "User: Mia has 12 apples.\nAssistant:"
    assert "no chat template" in rendered.note


def test_a_completion_begins_with_the_reasoning_tag_that_the_template_wrote(made):
    folder, gguf = made("template that opens a reasoning block")
    engine = LocalTorchBackend(folder, device="cpu", threads=1)
    ((ours,),) = sample_texts(engine, CHATS[:1], 1, SamplingParams(8, 0.0))
    assert ours.text.startswith("<think>\n")
    closing = engine.codec.tokenizer.convert_tokens_to_ids("</think>")
    end = min(engine.codec.end_ids)
    assert engine.codec.decode([closing, end]) == "</think>"
    messages = (Message(**CHATS[0][0]),)
    chunks = []
    with WorkerClient() as client:
        client.load(gguf, threads=1).result(PATIENCE_S)
        request = SampleRequest(messages=messages, max_tokens=8, temperature=0.0)
        (theirs,) = client.send(request, chunks.append).result(PATIENCE_S).samples
        assert theirs.text == ours.text == "".join(e.text for e in chunks if isinstance(e, Chunk))
        scored = client.send(ScoreRequest(messages=messages, completion=theirs.text)).result(PATIENCE_S)
    # The tag is the prompt's end, and is not scored again.
    assert scored.text == theirs.text.removeprefix("<think>\n")
    problem = Problem("p", "sums", QUESTION, "5", AnswerKind.NUMBER, "")
    graded = AnswerGrader().grade(ours.text + " 2 + 3 = 5\n#### 5", problem, truncated=True)
    assert graded.outcome is Outcome.TRUNCATED, "an answer inside an unfinished block"


@pytest.mark.parametrize("name", ["several end tokens", "no template", "tied head, bfloat16"])
def test_greedy_text_and_stop_strings_are_the_same_in_both_engines(made, name):
    folder, gguf = made(name)
    engine = LocalTorchBackend(folder, device="cpu", dtype="float32", threads=1)
    ((free,),) = sample_texts(engine, CHATS[:1], 1, SamplingParams(24, 0.0))
    assert free.text.strip()
    stop = free.text[-3:] if free.truncated else free.text[:3]
    messages = tuple(Message(**turn) for turn in CHATS[0])
    with WorkerClient() as client:
        client.load(gguf, threads=1).result(PATIENCE_S)
        for stops in ((), (stop,)):
            ((ours,),) = sample_texts(engine, CHATS[:1], 1, SamplingParams(24, 0.0, stop=stops))
            request = SampleRequest(messages=messages, max_tokens=24, temperature=0.0, stop=stops)
            (theirs,) = client.send(request).result(PATIENCE_S).samples
            assert theirs.text == ours.text
            assert (theirs.finish is Finish.STOP) == (not ours.truncated)
    assert stop not in ours.text
    assert not ours.truncated


def test_training_a_base_model_goes_on_with_a_warning(made, tmp_path):
    config = from_dict({"model": {"path": str(made("no template")[0]), "threads": 1}, "data": {"pool": 4}}, "test")
    paths = new_run(tmp_path, config)
    with closing(EventLog(paths.events)) as log:
        control = ProcessControl(paths.commands, log, None, None)
        Runner(paths, config, log, RunCallbacks(log, control)).set_up()
    (warning,) = [e.data for e in EventTail(paths.events).poll() if e.kind == "warning"]
    assert warning["code"] == "chat_template"
    assert "no chat template" in warning["message"]
    assert "instruction-tuned" in warning["remedy"]


@pytest.mark.parametrize(
    "settings",
    [{}, {"top_k": 5}, {"top_p": 0.7}, {"min_p": 0.1}, {"repetition_penalty": 1.8}, {"temperature": 0.0},
     {"temperature": 1.5, "top_k": 40, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.3}],
    ids=str,
)  # fmt: skip
def test_both_engines_draw_the_same_tokens_by_the_same_settings(settings):
    rng = np.random.default_rng(11)
    logits = (rng.standard_normal((400, 130)) * 2).astype(np.float32)
    recent, uniforms = rng.integers(0, 130, (400, 64)), rng.random(400)
    params = SamplingParams(1, **settings)
    theirs = draw(logits, uniforms, recent=recent.tolist(), **settings)
    torch_logits = torch.from_numpy(logits)
    chosen_from = None if params.plain else restrict_logits(torch_logits, params, torch.from_numpy(recent))
    ours = draw_tokens(torch_logits, params.temperature, torch.from_numpy(uniforms).float(), chosen_from)
    # A uniform number that falls on the edge between two tokens may round to either side.
    assert (ours.tokens.numpy() != theirs.tokens).mean() <= 0.005
    assert REPETITION_WINDOW == sampling.REPETITION_WINDOW
