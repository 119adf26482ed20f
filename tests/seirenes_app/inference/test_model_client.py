"""Models by name: a GGUF file, a model folder, a run's checkpoint; and their completions."""

import shutil

import pytest

from seirenes_app.inference.model_client import (
    Cancelled,
    CompletionSpec,
    WorkerModel,
    converted_folder,
    fingerprint_of,
    gguf_of,
    locate_files,
    name_of,
    open_model,
    prompt_profile_of,
)
from seirenes_app.inference.protocol import Finish
from seirenes_app.store.resources import recorded_run, starter_folder
from training.core.prompts import reasoner_messages
from training.errors import UserError
from training.prompt_files import COMPACT, NEUTRAL, built_in


def chats(n):
    return [
        reasoner_messages(f"Mia has {i + 5} apples. She eats 2. How many are left?", built_in(COMPACT))
        for i in range(n)
    ]


def texts(found):
    return [[completion.text for completion in of_chat] for of_chat in found]


def test_a_model_completes_chats_in_their_order_and_the_same_way_again(model):
    spec = CompletionSpec(samples=2, max_tokens=48, temperature=1.0, seed=4, logprobs=True)
    with open_model("starter", threads=1) as client:
        seen = []
        found = client.complete(chats(3), spec, lambda done, total, tokens: seen.append((done, total)))
        again = client.complete(chats(3), spec)
        assert client.complete([], spec) == []
    assert [len(of_chat) for of_chat in found] == [2, 2, 2]
    assert texts(found) == texts(again)
    assert len({text for of_chat in texts(found) for text in of_chat}) > 1
    assert all(c.finish in (Finish.STOP, Finish.LENGTH) and c.logprob_mean < 0 for (c, _) in found)
    assert seen[0] == (0, 6)
    assert (client.name, client.argument, client.is_remote, client.meter) == ("starter", "starter", False, None)


def test_a_prompt_that_does_not_fit_is_one_completion_and_the_others_are_there(model):
    with open_model(str(model), threads=1) as client:
        long = [{"role": "user", "content": "word " * 9000}]
        first, second = client.complete([long, *chats(1)], CompletionSpec(max_tokens=32))
    assert (first[0].finish, first[0].text) == (Finish.TOO_LONG, "")
    assert second[0].text


def test_a_cancelled_completion_is_no_result(model):
    with open_model("starter", threads=1) as client:
        with pytest.raises(Cancelled):
            client.complete(chats(2), CompletionSpec(), cancelled=lambda: True)
        assert len(client.complete(chats(2), CompletionSpec(max_tokens=8))) == 2


def test_a_folder_is_converted_once_and_completes_as_its_own_gguf(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    folder = tmp_path / "copy"
    shutil.copytree(starter_folder(), folder, ignore=shutil.ignore_patterns("*.gguf"))
    said = []
    with open_model(str(folder), threads=1, progress=said.append) as client, WorkerModel(model, threads=1) as own:
        spec = CompletionSpec(max_tokens=64)
        assert texts(client.complete(chats(3), spec)) == texts(own.complete(chats(3), spec))
        assert client.name == "copy"
    assert any("Converting copy" in p.doing for p in said)
    (kept,) = converted_folder().iterdir()
    said.clear()
    assert gguf_of(folder, said.append) == kept
    assert said == []


def test_a_cancelled_conversion_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    folder = tmp_path / "copy"
    shutil.copytree(starter_folder(), folder, ignore=shutil.ignore_patterns("*.gguf"))
    with pytest.raises(Cancelled):
        gguf_of(folder, cancelled=lambda: True)
    assert list(converted_folder().iterdir()) == []


def test_names_of_models_and_what_is_not_there(model, tmp_path):
    assert name_of("") == "starter"
    assert name_of(str(model)) == model.name
    assert prompt_profile_of("starter") == prompt_profile_of(str(model)) == built_in(COMPACT)
    assert fingerprint_of("starter") == fingerprint_of(str(model))
    for missing in (str(tmp_path / "no.gguf"), "nobody@40"):
        with pytest.raises(UserError, match="not found"):
            open_model(missing)
    (tmp_path / "odd.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"odd\.gguf"):
        open_model(str(tmp_path / "odd.gguf"))


def test_a_checkpoint_is_named_by_run_and_step(tmp_path, monkeypatch):
    steps = sorted(int(f.name.removeprefix("step_")) for f in (recorded_run() / "checkpoints").glob("step_*"))
    if not steps:
        pytest.skip("the recorded run has no checkpoints")
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path))
    run = tmp_path / "mine"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copytree(recorded_run() / "checkpoints" / f"step_{steps[0]:06d}", run / "checkpoints" / "step_000007")
    for name in ("mine@7", f"{run}@7"):
        assert locate_files(name) == run / "checkpoints" / "step_000007"
        assert name_of(name) == name
    assert locate_files(f"recorded@{steps[0]}").parent == (recorded_run() / "checkpoints").resolve()
    assert prompt_profile_of("mine@7") in (built_in(COMPACT), built_in(NEUTRAL))
    with pytest.raises(UserError, match=r"no checkpoint of step 8\. It has those of: 7"):
        locate_files("mine@8")
