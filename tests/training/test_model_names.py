"""What a model's name means: hub ids in all their spellings, and what the Hugging Face cache holds of them."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import UserError
from training.model_names import (
    HubId,
    ModelNotFound,
    NotDownloaded,
    cache_folder,
    choose_gguf_file,
    describe_path,
    group_gguf_files,
    locate_folder,
    locate_gguf,
    locate_model,
    parse_hub_id,
    pinned,
    quantisation_tag,
    split_parts,
    without_commit,
)

COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hf" / "hub"


def put(repo: str, files: dict[str, str], commit: str = COMMIT, ref: str = "main") -> Path:
    """A repository in the cache, as the hub's client lays it out: links in the snapshot to files in blobs."""
    root = cache_folder() / ("models--" + repo.replace("/", "--"))
    snapshot = root / "snapshots" / commit
    for number, (name, text) in enumerate(files.items()):
        blob = root / "blobs" / f"{commit[:8]}{number}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_text(text)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    if ref:
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / ref).write_text(commit)
    return snapshot


FOLDER = {"config.json": "{}", "model.safetensors": "x", "tokenizer.json": "{}"}


# ---------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Qwen/Qwen3-0.6B", HubId("Qwen/Qwen3-0.6B")),
        (" org/name ", HubId("org/name")),
        ("org/name:model.gguf", HubId("org/name", "model.gguf")),
        ("org/name:sub/model.gguf", HubId("org/name", "sub/model.gguf")),
        ("org/name:Q4_K_M", HubId("org/name", "Q4_K_M")),
        ("org/name@v1", HubId("org/name", revision="v1")),
        ("org/name@refs/pr/3:Q8_0", HubId("org/name", "Q8_0", "refs/pr/3")),
        ("hf:org/name", HubId("org/name")),
        ("hf://org/name@v1/sub/model.gguf", HubId("org/name", "sub/model.gguf", "v1")),
        ("https://huggingface.co/org/name", HubId("org/name")),
        ("https://huggingface.co/org/name/tree/v1", HubId("org/name", revision="v1")),
        ("https://huggingface.co/org/name/blob/main/a%20b.gguf", HubId("org/name", "a b.gguf")),
        ("https://huggingface.co/org/name/resolve/main/sub/m.gguf?download=true", HubId("org/name", "sub/m.gguf")),
        ("https://huggingface.co/org/name/blob/main/config.json", HubId("org/name")),
        ("https://hf.co/org/name/", HubId("org/name")),
        ("starter", None),
        ("model.gguf", None),
        ("models/model.gguf", None),
        ("a/b/c", None),
        ("../name", None),
        ("/org/name", None),
        ("~/name", None),
        ("org/name:../secret", None),
        ("org/", None),
        ("", None),
    ],
)
def test_a_hub_id_is_read_in_all_its_spellings(text, wanted):
    assert parse_hub_id(text) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://example.com/org/name", "not an address of huggingface.co"),
        ("https://huggingface.co/datasets/org/name", "a data set, not a model"),
        ("https://huggingface.co/spaces/org/name", "a space, not a model"),
        ("https://huggingface.co/org", "names no model"),
        ("https://[", "not an address"),
        ("hf:name", "not a hub id"),
    ],
)
def test_what_begins_like_a_hub_id_and_is_none_says_so(text, reason):
    with pytest.raises(UserError, match=reason):
        parse_hub_id(text)


@given(st.text(max_size=80))
def test_any_text_is_an_id_or_none_or_refused_and_an_id_reads_back(text):
    try:
        found = parse_hub_id(text)
    except UserError:
        return
    if found is not None:
        assert parse_hub_id(str(found)) == found
        assert ".." not in found.file.split("/")


# ---------------------------------------------------------------------- the cache


def test_a_hub_id_is_found_in_the_cache_as_a_folder():
    snapshot = put("org/name", FOLDER)
    assert locate_model("org/name") == locate_folder("hf:org/name") == snapshot
    assert locate_model(f"org/name@{COMMIT}") == snapshot


def test_the_environment_says_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert put("org/name", FOLDER).is_relative_to(tmp_path / "elsewhere")
    assert locate_model("org/name").is_relative_to(tmp_path / "elsewhere")
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "huggingface" / "hub"


def test_a_path_that_exists_wins_over_a_hub_id(tmp_path):
    put("org/name", FOLDER)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert locate_model("org/name") == tmp_path / "org" / "name"


def test_what_is_not_in_the_cache_names_the_command_that_downloads_it():
    with pytest.raises(
        NotDownloaded, match=r"org/name:Q4_K_M is not on this machine.*models pull org/name:Q4_K_M"
    ) as caught:
        locate_model("org/name:Q4_K_M")
    assert caught.value.hub_id == HubId("org/name", "Q4_K_M")
    put("org/name", FOLDER)
    with pytest.raises(NotDownloaded, match="in this revision"):
        locate_model("org/name@v2")


@pytest.mark.parametrize("name", ["nowhere.gguf", "no such thing", "", "a\0b", "x" * 5000])
def test_what_is_neither_a_path_nor_a_hub_id_is_told(name):
    with pytest.raises(ModelNotFound):
        locate_model(name)


def test_a_snapshot_in_part_says_what_is_missing():
    snapshot = put("org/name", FOLDER)
    (snapshot / "model.safetensors").resolve().unlink()
    with pytest.raises(NotDownloaded, match=r"only in part.*model\.safetensors"):
        locate_model("org/name")


def test_every_shard_of_an_index_is_needed():
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = json.dumps({"weight_map": shards})
    snapshot = put("org/name", {"config.json": "{}", "model.safetensors.index.json": index, shards["a"]: "x"})
    with pytest.raises(NotDownloaded, match="00002-of-00002"):
        locate_model("org/name")
    (snapshot / shards["b"]).write_text("x")
    assert locate_model("org/name") == snapshot


def test_without_a_record_of_the_branch_the_only_snapshot_is_it():
    snapshot = put("org/name", FOLDER, ref="")
    assert locate_model("org/name") == snapshot
    put("org/name", FOLDER, OTHER, ref="")
    with pytest.raises(NotDownloaded):
        locate_model("org/name")


def test_a_gguf_is_found_by_name_by_quantisation_and_as_the_only_one():
    snapshot = put("org/name", {"m-Q4_K_M.gguf": "x", "README.md": "x", "config.json": "{}"})
    for name in ("org/name", "org/name:m-Q4_K_M.gguf", "org/name:q4_k_m"):
        assert locate_gguf(name) == snapshot / "m-Q4_K_M.gguf"
    with pytest.raises(UserError, match=r"no GGUF file 'Q8_0'.*org/name:Q4_K_M"):
        locate_model("org/name:Q8_0")
    with pytest.raises(UserError, match="GGUF file, and a Hugging Face folder is needed"):
        locate_folder("org/name")


def test_several_ggufs_are_listed():
    put("org/name", {"m-Q4_K_M.gguf": "x", "m-Q8_0.gguf": "x", "mmproj-m.gguf": "x"})
    with pytest.raises(UserError, match=r"several GGUF files.*org/name:Q4_K_M, org/name:Q8_0"):
        locate_model("org/name")


def test_a_split_gguf_without_a_part_says_which():
    first, second = split_parts("m-Q4_K_M-00001-of-00002.gguf")
    snapshot = put("org/name", {first: "x"})
    with pytest.raises(NotDownloaded, match="00002-of-00002"):
        locate_model("org/name:Q4_K_M")
    (snapshot / second).write_text("x")
    assert locate_gguf("org/name:Q4_K_M") == snapshot / first


def test_a_file_of_the_cache_keeps_its_own_name():
    put("org/name", {"m-Q4_K_M.gguf": "x"})
    found = locate_gguf("org/name")
    assert found.name == "m-Q4_K_M.gguf"
    assert describe_path(found) == "org/name:m-Q4_K_M.gguf"
    assert describe_path(found.parent) == "org/name"
    assert describe_path(Path("/x/model.gguf")) == "model.gguf"


def test_a_pinned_name_means_the_same_weights_when_the_branch_moves():
    first = put("org/name", FOLDER)
    name = pinned("org/name")
    assert (name, without_commit(name)) == (f"org/name@{COMMIT}", "org/name")
    put("org/name", FOLDER, OTHER)
    assert locate_model(name) == first
    assert pinned("starter") == "starter"


def test_a_fifo_a_loop_of_links_and_an_empty_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo.gguf")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty").mkdir()
    reference = put("org/name", FOLDER).parents[1] / "refs" / "main"
    reference.unlink()
    os.mkfifo(reference)
    assert locate_folder("org/name").name == COMMIT
    with pytest.raises(UserError, match="neither a file nor a folder"):
        locate_gguf(tmp_path / "fifo.gguf")
    for name in ("loop", "fifo.gguf"):
        with pytest.raises(UserError, match="neither a file nor a folder"):
            locate_folder(tmp_path / name)
    with pytest.raises(UserError, match="holds no model"):
        locate_folder(tmp_path / "empty")
    with pytest.raises(UserError, match=r"seirenes export .* --to gguf"):
        locate_gguf(tmp_path / "empty")


# ---------------------------------------------------------------------- GGUF files


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("qwen-Q4_K_M.gguf", "Q4_K_M"),
        ("a/b.Q8_0-00001-of-00003.gguf", "Q8_0"),
        ("Llama-3.2-1B-Instruct-f16.gguf", "F16"),
        ("m.iq2_xs.gguf", "IQ2_XS"),
        ("gpt-oss-mxfp4.gguf", "MXFP4"),
        ("qwen2.5-3b.gguf", "qwen2.5-3b"),
    ],
)
def test_a_name_tells_its_quantisation(name, tag):
    assert quantisation_tag(name) == tag


def test_projectors_and_importance_matrices_are_no_models():
    names = ["m-Q8_0.gguf", "mmproj-f16.gguf", "imatrix.gguf", "README.md", "a-00002-of-00002.gguf"]
    assert list(group_gguf_files(names)) == ["a-00001-of-00002.gguf", "m-Q8_0.gguf"]


def test_two_files_of_one_quantisation_are_told_apart_by_their_path():
    there = ["a/m-Q8_0.gguf", "b/m-Q8_0.gguf"]
    with pytest.raises(UserError, match=r"o/n:a/m-Q8_0\.gguf, o/n:b/m-Q8_0\.gguf"):
        choose_gguf_file(HubId("o/n", "Q8_0"), there)
    assert choose_gguf_file(HubId("o/n", "b/m-Q8_0.gguf"), there) == there[1]
