"""Facts about presets and hub data sets: cached works without a network, and without either it fails at once with a remedy."""

import json
import subprocess
import sys
import time

import datasets
import pytest

from training.core.types import AnswerKind
from training.errors import UserError
from training.evaluation.problem_sets import hub
from training.evaluation.problem_sets.hub import PRESETS, HubAddress, find_preset, open_hub, open_preset, open_source
from training.evaluation.problem_sets.importing import read_problem_set
from training.evaluation.problem_sets.types import NOT_STATED, Reason

USUAL = {"AIME 2024", "AIME 2025", "AIME 2026", "AMC 2023", "MATH-500", "HMMT February 2025", "BeyondAIME", "GSM8K", "SVAMP", "GSM-Plus",
         "GSM-IC", "GSM-Symbolic"}  # fmt: skip


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache and no network, as the library sees them."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*_, **__):
        raise OSError("no network in this test")

    monkeypatch.setattr(hub.socket, "create_connection", refuse)
    return tmp_path / "datasets"


def put_in_cache(cache, name, config, splits):
    """What `load_dataset` leaves behind after a download."""
    owner, short = name.split("/")
    dash = datasets.naming.camelcase_to_snakecase(short)
    folder = cache / f"{owner}___{dash}" / config / "0.0.0" / "0123456789abcdef"
    folder.mkdir(parents=True)
    infos = {}
    for split, rows in splits.items():
        made = datasets.Dataset.from_list(rows)
        writer = datasets.arrow_writer.ArrowWriter(path=str(folder / f"{dash}-{split}.arrow"), features=made.features)
        for row in rows:
            writer.write(row)
        writer.finalize()
        infos[split] = {"name": split, "num_bytes": 1, "num_examples": len(rows), "dataset_name": dash}
    info = {"builder_name": "parquet", "dataset_name": dash, "config_name": config, "version": "0.0.0",
            "features": made.features.to_dict(), "splits": infos}  # fmt: skip
    (folder / "dataset_info.json").write_text(json.dumps(info))


def test_the_usual_sets_are_declared_whole():
    assert {p.title for p in PRESETS.values()} >= USUAL
    for key, preset in PRESETS.items():
        assert key == preset.key == key.lower()
        assert preset.source.startswith("https://")
        assert preset.licence == NOT_STATED or preset.licence[:2] in ("MI", "CC")
        assert preset.k >= 1 <= preset.problems
        assert (not preset.split) == bool(preset.files)
        assert find_preset(preset.title) is preset
    assert find_preset("openai/gsm8k") is PRESETS["gsm8k"]
    assert find_preset("nothing") is None


@pytest.mark.parametrize("key", PRESETS)
def test_without_network_and_cache_a_preset_fails_at_once_and_says_what_to_do(cache, key, tmp_path):
    started = time.monotonic()
    with pytest.raises(UserError, match=f"seirenes problems import {key} -o {key}.jsonl") as told:
        open_preset(PRESETS[key], tmp_path / "sets")
    assert f"{tmp_path / 'sets' / key}.jsonl" in str(told.value)
    assert "cannot be reached" in str(told.value)
    assert time.monotonic() - started < 20


def test_a_hub_that_is_switched_off_is_named(cache, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="switched off"):
        open_hub(HubAddress("some/set"))


def test_a_cached_preset_works_without_a_network(cache):
    put_in_cache(cache, "openai/gsm8k", "main", {
        "train": [{"question": "Not this one?", "answer": "#### 1"}],
        "test": [{"question": "Ann sold 48/2. How many?", "answer": "48/2=<<48/2=24>>24\n#### 24"}, {"question": "Why?", "answer": "#### so"}],
    })  # fmt: skip
    done = read_problem_set(open_preset(PRESETS["gsm8k"]))
    (problem,) = done.problems
    assert (problem.answer, problem.kind, problem.solution, done.licence) == (
        "24",
        AnswerKind.NUMBER,
        "48/2=24\n#### 24",
        "MIT",
    )
    (rejected,) = done.report.rejected
    assert (rejected.place, rejected.reason) == ("openai/gsm8k (main test), row 2", Reason.UNREADABLE)
    assert datasets.config.HF_HUB_OFFLINE is False


def test_a_set_that_lost_a_column_it_can_do_without_is_still_read(cache):
    put_in_cache(cache, "qintongli/GSM-Plus", "default", {"test": [{"question": "What is 2?", "answer": "2"}]})
    (problem,) = read_problem_set(open_preset(PRESETS["gsm-plus"])).problems
    assert (problem.answer, problem.family) == ("2", "gsm-plus")
    put_in_cache(cache, "math-ai/amc23", "default", {"test": [{"problem": "What is 2?", "answer": "2"}]})
    with pytest.raises(UserError, match="no column 'question'"):
        read_problem_set(open_preset(PRESETS["amc23"]))


def test_splits_are_joined_where_a_preset_says_so(cache):
    row = {
        "ID": "chal-1",
        "Body": "Ann has 3 eggs",
        "Question": "How many?",
        "Equation": "3",
        "Answer": "3.0",
        "Type": "Common-Divison",
    }
    put_in_cache(
        cache, "ChilleD/SVAMP", "default", {"train": [row], "test": [row | {"Body": "Ann has 4 eggs", "Answer": "4.0"}]}
    )
    done = read_problem_set(open_preset(PRESETS["svamp"]))
    assert [(p.question, p.answer, p.id) for p in done.problems] == [
        ("Ann has 3 eggs. How many?", "3.0", "chal-1"), ("Ann has 4 eggs. How many?", "4.0", "chal-1-2"),
    ]  # fmt: skip


def test_any_cached_set_is_read_by_its_name_and_its_splits_are_told(cache):
    rows = [{"prompt": "What is 2?", "target": 2, "category": ["Number Theory", "Algebra"]}]
    put_in_cache(cache, "someone/sums", "default", {"a": rows, "b": rows})
    with pytest.raises(UserError, match=r"several splits: a, b\. Name one with --split"):
        open_source("someone/sums")
    with pytest.raises(UserError, match=r"no split 'c'\. It has: a, b"):
        open_source("someone/sums", split="c")
    (problem,) = read_problem_set(open_source("someone/sums", split="b")).problems
    assert (problem.question, problem.answer, problem.family) == ("What is 2?", "2", "Number Theory, Algebra")


def test_a_file_put_where_it_is_asked_for_stands_for_the_preset(cache, tmp_path):
    sets = tmp_path / "sets"
    sets.mkdir()
    (sets / "gsm-ic.json").write_text(json.dumps([{"new_question": "Ann has 2. The sky is 9. How many?", "answer": 2,
                                                   "original_question": "Ann has 2. How many?", "sentence_label": "off_topic"}]))  # fmt: skip
    done = read_problem_set(open_preset(PRESETS["gsm-ic"], sets))
    (problem,) = done.problems
    assert (problem.family, problem.answer, done.name) == ("off_topic", "2", "gsm-ic")
    (sets / "aime24.jsonl").write_text('{"question": "What?", "answer": "073", "kind": "number"}\n')
    (problem,) = read_problem_set(open_preset(PRESETS["aime24"], sets)).problems
    assert problem.answer == "073"


def test_files_of_a_hub_folder_are_read_from_the_cache_one_after_the_other(cache, tmp_path):
    folder = tmp_path / "hub" / "datasets--voidful--GSM-IC"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    for n, name in enumerate(PRESETS["gsm-ic"].files):
        rows = [
            {
                "new_question": f"What is {n}?",
                "answer": str(n),
                "original_question": "What?",
                "sentence_label": "in_topic",
            },
            {},
        ]
        (folder / "snapshots" / "abc" / name).write_text(json.dumps(rows))
    done = read_problem_set(open_preset(PRESETS["gsm-ic"]))
    assert [p.answer for p in done.problems] == ["0", "1"]
    assert [r.place for r in done.report.rejected] == ["GSM-IC_2step.json, line 1", "GSM-IC_mstep.json, line 1"]


def test_what_is_neither_file_nor_preset_is_told(cache):
    for name in ("nothing", "no/such.jsonl", "a/b/c"):
        with pytest.raises(UserError, match=r"is no file and no preset\. Presets: aime24"):
            open_source(name)


def test_reading_sets_loads_neither_torch_nor_transformers_and_datasets_only_for_the_hub():
    code = (
        "import sys, training.evaluation.problem_sets.hub as h, training.evaluation.problem_sets.importing\n"
        "assert not {'datasets', 'pyarrow', 'huggingface_hub'} & set(sys.modules)\n"
        "import datasets\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-800:]
